use std::fmt;

/// What is wrong with one setting, and was therefore left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's full name, such as `inlineCompletion.debounceMs`; empty where it is all of them.
    pub key: String,
    /// One sentence that names the setting.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
