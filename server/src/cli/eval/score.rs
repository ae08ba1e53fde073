use serde::Serialize;

use super::stages::Spent;
use super::task::Task;
use crate::syntax::{errors, parse};

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) task_id: String,
    pub(super) completion: String,
    /// Whether a user would have seen it: it was not filtered out, and the model was sure enough.
    pub(super) shown: bool,
    pub(super) confidence: f32,
    pub(super) tokens: usize,
    pub(super) steps: usize,
    /// Milliseconds; absent where several tasks ran at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ms: Option<f64>,
    /// Absent where nobody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spent: Option<Spent>,
}

/// What came of many tasks. Shares are in 0..=1, and absent where there is nothing that they are shares of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) n: usize,
    /// Completions that are the solution byte for byte, shown or not.
    pub(super) exact_match: f64,
    /// Of the completions whose solution has a letter or a digit.
    pub(super) exact_match_words: Option<f64>,
    /// The mean of one minus the edit distance over the longer one's length, in characters.
    pub(super) edit_similarity: f64,
    /// Completions after which the text has no more syntax errors than with the solution, of those in a language that
    /// can be parsed.
    pub(super) syntax_valid: Option<f64>,
    /// Completions that were shown; and among them the exact ones, those that are valid, and those whose first line
    /// is right.
    pub(super) coverage: f64,
    pub(super) precision_shown: Option<f64>,
    pub(super) syntax_valid_shown: Option<f64>,
    /// Like `syntax_valid_shown`, but a fill that has fewer lines than the solution may also be one that the solution's
    /// further lines make valid.
    pub(super) syntax_sound_shown: Option<f64>,
    pub(super) first_line_shown: Option<f64>,
    /// The mean difference in lines between completion and solution.
    pub(super) length_error: f64,
    /// Of the model's passes at the median, and of all of them by the tokens of all completions.
    pub(super) p50_steps: usize,
    pub(super) steps_per_token: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mean_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p95_ms: Option<f64>,
    /// What a fill cost at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spent: Option<Spent>,
}

/// One outcome held against its task's solution.
struct Score {
    exact: bool,
    has_words: bool,
    first_line: bool,
    similarity: f64,
    valid: Option<bool>,
    sound: Option<bool>,
    length_error: usize,
}

impl Score {
    fn of(task: &Task, outcome: &Outcome, strip: bool) -> Self {
        let trim = |text: &str| if strip { text.trim_end().to_owned() } else { text.to_owned() };
        let lines = |text: &str| text.matches('\n').count();
        let valid = is_valid(task, &outcome.completion);
        let further = with_further_lines(&outcome.completion, &task.solution);
        Self {
            exact: trim(&outcome.completion) == trim(&task.solution),
            has_words: task.solution.chars().any(char::is_alphanumeric),
            first_line: outcome.completion.lines().next() == task.solution.lines().next(),
            similarity: strsim::normalized_levenshtein(&outcome.completion, &task.solution),
            valid,
            sound: valid.map(|valid| valid || is_valid(task, &further) == Some(true)),
            length_error: lines(&outcome.completion).abs_diff(lines(&task.solution)),
        }
    }
}

/// Whether the text with this completion has no more errors than with the solution; tasks are cut out of files, so that
/// even that may have some. `None` where there is no grammar.
fn is_valid(task: &Task, completion: &str) -> Option<bool> {
    let errors_with = |fill: &str| {
        let tree = parse(&[&task.before, fill, &task.after].concat(), task.language())?;
        Some(errors(&tree))
    };
    Some(errors_with(completion)? <= errors_with(&task.solution)?)
}

/// A completion, and what is still to be written: the solution's lines after as many as the completion has. Without
/// them, of all that can begin several lines of code only the whole of it would be right.
fn with_further_lines(completion: &str, solution: &str) -> String {
    let further = solution.split_inclusive('\n').skip(completion.matches('\n').count() + 1);
    let further: String = further.collect();
    if further.is_empty() { completion.to_owned() } else { format!("{completion}\n{further}") }
}

impl Summary {
    /// Of outcomes and their tasks, at least one.
    pub(super) fn of<'a>(all: impl Iterator<Item = (&'a Task, &'a Outcome)>, strip: bool) -> Self {
        let all: Vec<_> = all.map(|(task, outcome)| (outcome, Score::of(task, outcome, strip))).collect();
        let mean =
            |value: &dyn Fn(&Score) -> f64| all.iter().map(|(_, score)| value(score)).sum::<f64>() / all.len() as f64;
        let share = |values: &[bool]| {
            (!values.is_empty()).then(|| values.iter().filter(|value| **value).count() as f64 / values.len() as f64)
        };
        let valid: Vec<_> = all.iter().filter_map(|(_, score)| score.valid).collect();
        let shown: Vec<_> = all.iter().filter(|(outcome, _)| outcome.shown).map(|(_, score)| score).collect();
        let of_shown = |value: &dyn Fn(&Score) -> Option<bool>| {
            share(&shown.iter().filter_map(|score| value(score)).collect::<Vec<_>>())
        };
        let words: Vec<_> = all.iter().filter(|(_, score)| score.has_words).map(|(_, score)| score.exact).collect();
        let mut steps: Vec<_> = all.iter().map(|(outcome, _)| outcome.steps).collect();
        steps.sort_unstable();
        let tokens = all.iter().map(|(outcome, _)| outcome.tokens).sum::<usize>();
        let mut times: Vec<_> = all.iter().filter_map(|(outcome, _)| outcome.ms).collect();
        times.sort_by(f64::total_cmp);
        let percentile =
            |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().max(1) - 1)).copied();
        Self {
            n: all.len(),
            exact_match: mean(&|score| f64::from(score.exact)),
            exact_match_words: share(&words),
            edit_similarity: mean(&|score| score.similarity),
            syntax_valid: share(&valid),
            coverage: shown.len() as f64 / all.len() as f64,
            precision_shown: of_shown(&|score| Some(score.exact)),
            syntax_valid_shown: of_shown(&|score| score.valid),
            syntax_sound_shown: of_shown(&|score| score.sound),
            first_line_shown: of_shown(&|score| Some(score.first_line)),
            length_error: mean(&|score| score.length_error as f64),
            p50_steps: steps.get(steps.len() / 2).copied().unwrap_or(0),
            steps_per_token: (tokens > 0).then(|| steps.iter().sum::<usize>() as f64 / tokens as f64),
            mean_ms: (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64),
            p50_ms: percentile(0.5),
            p95_ms: percentile(0.95),
            spent: Spent::mean(all.iter().filter_map(|(outcome, _)| outcome.spent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_be_written_comes_after_a_beginning() {
        let solution = "a(\n    b,\n);";
        assert_eq!(with_further_lines("x(", solution), "x(\n    b,\n);");
        assert_eq!(with_further_lines("x(\ny,", solution), "x(\ny,\n);");
        for whole in ["x\ny\nz", "1\n2\n3\n4"] {
            assert_eq!(with_further_lines(whole, solution), whole);
        }
        assert_eq!(with_further_lines("x", "a"), "x");
    }
}
