//! What speaks for a place wanting a change, and how much.

/// The features of a place and their weights, from the edits of the packages that `fixtures/next/fit.py` fits them to.
///
/// Each feature is of about the size of one. Counts are the natural logarithm of one more than what they count; what
/// holds or does not is one or zero.
pub(crate) const FEATURES: [(&str, f64); COUNT] = [
    ("bias", -3.175),
    ("left", 0.871),
    ("right", 0.591),
    ("line", -0.615),
    ("places", -0.431),
    ("changes", 0.211),
    ("old_tokens", 0.161),
    ("new_tokens", -0.186),
    ("distance", -0.167),
    ("same_function", -0.076),
    ("same_node", 0.121),
    ("same_role", 0.229),
    ("same_access", -0.242),
    ("known", 0.035),
    ("unknown", -0.044),
    ("left_over", -0.551),
    ("declares", 2.017),
    ("binds", 0.774),
    ("binds_elsewhere", -0.682),
    ("declared", 0.009),
    ("prose", 0.109),
    ("call", -0.350),
    ("old_chars", 0.671),
    ("named", -0.315),
    ("again", 1.221),
    ("alike", 0.682),
    ("stands", -0.459),
    ("keyword", 0.429),
    ("imports", -0.387),
    ("imported", 0.589),
    ("company", -0.327),
    ("names_around", 0.006),
    ("twin_function", 0.646),
    ("old_known", 0.063),
    ("orphaned", 0.197),
    ("orphaned_alone", 0.692),
    ("kept", 0.655),
    ("out_of_company", -1.282),
];
const COUNT: usize = 38;

/// The values of [`FEATURES`].
pub(crate) type Evidence = [f64; COUNT];

/// How likely it is, in 0..=1, that a place with this evidence wants the change.
pub(super) fn confidence(evidence: &Evidence) -> f32 {
    let score: f64 = FEATURES.iter().zip(evidence).map(|((_, weight), value)| weight * value).sum();
    (1.0 / (1.0 + (-score).exp())) as f32
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
    pub(super) old_tokens: usize,
    pub(super) new_tokens: usize,
    pub(super) old_chars: usize,
    /// Whether there is a name among the old tokens.
    pub(super) named: bool,
    /// In lines.
    pub(super) distance: usize,
    pub(super) same_function: bool,
    pub(super) same_node: bool,
    pub(super) same_role: bool,
    /// Whether both or neither come after `.` or `::`.
    pub(super) same_access: bool,
    /// How often the new tokens stood in the text before, and how often beside one of the same neighbours.
    pub(super) known: usize,
    pub(super) stands: usize,
    /// Whether the old tokens are still there in the line of the change.
    pub(super) left_over: bool,
    /// Whether what was changed declares an item or a field; whether it binds a name.
    pub(super) declares: bool,
    pub(super) binds: bool,
    /// Whether it names an argument.
    pub(super) keyword: bool,
    /// Whether the change is in an import; whether the old name is still imported somewhere.
    pub(super) imports: bool,
    pub(super) imported: bool,
    /// The share of the edit's other changes that the line has room for, too.
    pub(super) company: f64,
    /// Of the tokens around both that are the same, the names.
    pub(super) names_around: usize,
    /// Whether they are in different functions of the same name.
    pub(super) twin_function: bool,
    /// The share of tokens that the line of the change has kept.
    pub(super) kept: f64,
    /// How often the old tokens stood in the text before.
    pub(super) old_known: usize,
    /// Whether the old name is still declared or bound somewhere.
    pub(super) declared: bool,
    /// Whether the change is in a comment or a string.
    pub(super) prose: bool,
    /// Whether both are at the same end of a call of the same function.
    pub(super) call: bool,
    /// The share of tokens that the two lines have in common.
    pub(super) alike: f64,
}

impl Facts {
    pub(super) fn evidence(self) -> Evidence {
        let log = |count: usize| (count as f64).ln_1p();
        let flag = |holds: bool| f64::from(u8::from(holds));
        // What declared the old name now declares another one, which was not there before.
        let orphaned =
            (self.declares || self.binds || self.imports) && !self.declared && !self.imported && self.known == 0;
        [
            1.0,
            log(self.left),
            log(self.right),
            flag(self.line),
            log(self.places),
            log(self.changes),
            log(self.old_tokens),
            log(self.new_tokens),
            log(self.distance),
            flag(self.same_function),
            flag(self.same_node),
            flag(self.same_role),
            flag(self.same_access),
            log(self.known),
            flag(self.known == 0),
            flag(self.left_over),
            flag(self.declares),
            flag(self.binds),
            flag(self.binds && !self.same_function),
            flag(self.declared),
            flag(self.prose),
            flag(self.call),
            log(self.old_chars),
            flag(self.named),
            log(self.again),
            self.alike,
            log(self.stands),
            flag(self.keyword),
            flag(self.imports),
            flag(self.imported),
            self.company,
            log(self.names_around),
            flag(self.twin_function),
            log(self.old_known),
            flag(orphaned),
            flag(orphaned && self.changes == 1),
            self.kept,
            flag(self.company < 1.0),
        ]
    }
}
