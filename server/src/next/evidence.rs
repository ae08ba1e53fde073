//! What speaks for a place wanting a change, and how much.

/// The features of a place and their weights, from the edits of the packages that `fixtures/next/fit.py` fits them to.
///
/// Each feature is of about the size of one. Counts are the natural logarithm of one more than what they count; what
/// holds or does not is one or zero.
pub(crate) const FEATURES: [(&str, f64); COUNT] = [
    ("bias", -4.722),
    ("left", 0.839),
    ("right", 0.585),
    ("line", -0.579),
    ("places", -0.378),
    ("distance", -0.144),
    ("same_role", 0.195),
    ("left_over", -0.662),
    ("declares", 2.106),
    ("binds", 0.733),
    ("binds_elsewhere", -0.317),
    ("call", -0.388),
    ("old_chars", 0.678),
    ("again", 1.188),
    ("alike", 0.776),
    ("stands", -0.419),
    ("imported", 0.496),
    ("company", 0.725),
    ("twin_function", 0.620),
    ("orphaned", 1.501),
    ("kept", 0.837),
];
const COUNT: usize = 21;

/// The values of [`FEATURES`].
pub(crate) type Evidence = [f64; COUNT];

/// What the model's word weighs: the natural logarithm of the odds that it gives, no more sure than this either way.
const MODEL_WEIGHT: f64 = 0.05;
const MODEL_MIN: f64 = 0.02;

/// Below these, a place is not offered: at the confidences that `fixtures/next/fit.py` shows to be right for more than 80%
/// of the surest places after an edit, in the half of the packages that the weights are fitted to.
const ORPHANED_MIN_CONFIDENCE: f32 = 0.6;
const AGAIN_MIN_CONFIDENCE: f32 = 0.7;
const FIRST_MIN_CONFIDENCE: f32 = 0.9;

/// How likely it is, in 0..=1, that a place with this evidence wants the change, of which the model may have said how
/// likely it finds it.
pub(super) fn confidence(evidence: &Evidence, model: Option<f32>) -> f32 {
    let score: f64 = FEATURES.iter().zip(evidence).map(|((_, weight), value)| weight * value).sum();
    let heard = model.map_or(0.0, |probability| {
        let probability = f64::from(probability).clamp(MODEL_MIN, 1.0 - MODEL_MIN);
        MODEL_WEIGHT * (probability / (1.0 - probability)).ln()
    });
    (1.0 / (1.0 + (-score - heard).exp())) as f32
}

/// What all that two places have in common comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Tokens that are the same before both, and behind both.
    pub(super) left: usize,
    pub(super) right: usize,
    /// Whether both are the same from the beginning of the line to its end.
    pub(super) line: bool,
    /// Places where the same may be changed.
    pub(super) places: usize,
    /// Changes made at once, and how many of them are this one.
    pub(super) changes: usize,
    pub(super) again: usize,
    pub(super) old_chars: usize,
    /// In lines.
    pub(super) distance: usize,
    pub(super) same_function: bool,
    pub(super) same_role: bool,
    /// How often the new tokens stood in the text before, and how often beside one of the same neighbours.
    pub(super) known: usize,
    pub(super) stands: usize,
    /// Whether the old tokens are still there in the line of the change.
    pub(super) left_over: bool,
    /// Whether what was changed declares an item or a field; whether it binds a name.
    pub(super) declares: bool,
    pub(super) binds: bool,
    /// Whether one name gave way to another.
    pub(super) renames: bool,
    /// Whether the old name is still imported somewhere.
    pub(super) imported: bool,
    /// The share of the edit's other changes that the line has room for, too.
    pub(super) company: f64,
    /// Whether they are in different functions of the same name.
    pub(super) twin_function: bool,
    /// The share of tokens that the line of the change has kept.
    pub(super) kept: f64,
    /// Whether the old name is still declared or bound somewhere.
    pub(super) declared: bool,
    /// Whether both are at the same end of a call of the same function.
    pub(super) call: bool,
    /// The share of tokens that the two lines have in common.
    pub(super) alike: f64,
}

impl Facts {
    /// Whether all that was changed is that what declared the old name now declares another one, which was not there
    /// before.
    fn is_orphaned(&self) -> bool {
        let declares = self.renames && (self.declares || self.binds);
        self.changes == 1 && declares && !self.declared && !self.imported && self.known == 0
    }

    /// How sure a place must be to be offered. The first edit of its kind says little about what comes next, unless it
    /// leaves uses of a name without what declared it.
    pub(super) fn min_confidence(&self) -> f32 {
        match (self.is_orphaned(), self.again) {
            (true, _) => ORPHANED_MIN_CONFIDENCE,
            (false, 0..=1) => FIRST_MIN_CONFIDENCE,
            (false, _) => AGAIN_MIN_CONFIDENCE,
        }
    }

    pub(super) fn evidence(self) -> Evidence {
        let log = |count: usize| (count as f64).ln_1p();
        let flag = |holds: bool| f64::from(u8::from(holds));
        [
            1.0,
            log(self.left),
            log(self.right),
            flag(self.line),
            log(self.places),
            log(self.distance),
            flag(self.same_role),
            flag(self.left_over),
            flag(self.declares),
            flag(self.binds),
            flag(self.binds && !self.same_function),
            flag(self.call),
            log(self.old_chars),
            log(self.again),
            self.alike,
            log(self.stands),
            flag(self.imported),
            self.company,
            flag(self.twin_function),
            flag(self.is_orphaned()),
            self.kept,
        ]
    }
}
