//! How likely a text is to be what is missing, by where it stands.

use crate::infiller::Extent;

/// What is known of one text.
#[derive(Clone, Copy, Default)]
pub(super) struct Sightings {
    pub(super) here: Evidence,
    pub(super) elsewhere: Evidence,
}

/// What all the places where one text stands have in common.
#[derive(Clone, Copy, Default)]
pub(super) struct Evidence {
    before: usize,
    behind: usize,
    places: usize,
    distance: usize,
}

impl Evidence {
    /// Adds a place that agrees for so many bytes before it and behind, this far off.
    pub(super) fn add(&mut self, before: usize, behind: usize, distance: usize) {
        self.before = self.before.max(before);
        self.behind = self.behind.max(behind);
        self.distance = if self.places == 0 { distance } else { self.distance.min(distance) };
        self.places += 1;
    }
}

/// The weights of a continuation's features: how far the text before it agrees, how far the text behind it does, in how
/// many places it stands, how far off the nearest one is, and its length; the natural logarithm of each, in bytes and
/// with one added but for the number of places.
pub(super) struct Weights {
    bias: f64,
    before: f64,
    behind: f64,
    places: f64,
    distance: f64,
    length: f64,
    elsewhere: WeightsElsewhere,
}

/// The weights of the same features where a continuation stands only in other files, and of the number of places there
/// where it stands in the document as well.
struct WeightsElsewhere {
    also: f64,
    bias: f64,
    before: f64,
    behind: f64,
    places: f64,
    length: f64,
}

const LINE: Weights = Weights {
    bias: -7.115,
    before: 1.448,
    behind: 1.137,
    places: 0.812,
    distance: 0.101,
    length: -0.844,
    elsewhere: WeightsElsewhere {
        also: 0.155,
        bias: -5.699,
        before: 1.549,
        behind: 0.807,
        places: 0.754,
        length: -1.233,
    },
};
const BLOCK: Weights = Weights {
    bias: -9.062,
    before: 1.264,
    behind: 1.415,
    places: 1.221,
    distance: 0.159,
    length: -0.726,
    elsewhere: WeightsElsewhere {
        also: 0.097,
        bias: -6.048,
        before: 1.311,
        behind: 0.790,
        places: 0.569,
        length: -1.047,
    },
};

/// The same where nothing stands behind the hole, as at the end of a file that is being written.
const LINE_AT_END: Weights = Weights {
    bias: -5.309,
    before: 1.913,
    behind: 0.0,
    places: 0.745,
    distance: 0.004,
    length: -0.738,
    elsewhere: WeightsElsewhere {
        also: 0.253,
        bias: -5.359,
        before: 1.938,
        behind: 0.0,
        places: 1.002,
        length: -1.116,
    },
};
const BLOCK_AT_END: Weights = Weights {
    bias: -6.385,
    before: 1.444,
    behind: 0.0,
    places: 0.571,
    distance: 0.029,
    length: -0.396,
    elsewhere: WeightsElsewhere {
        also: 0.129,
        bias: -4.888,
        before: 1.364,
        behind: 0.0,
        places: 0.654,
        length: -1.049,
    },
};

impl Weights {
    /// The weights for a hole of this extent, perhaps with nothing behind it.
    pub(super) fn of(extent: Extent, is_at_end: bool) -> &'static Self {
        match (extent, is_at_end) {
            (Extent::Line, false) => &LINE,
            (Extent::Line, true) => &LINE_AT_END,
            (Extent::Block, false) => &BLOCK,
            (Extent::Block, true) => &BLOCK_AT_END,
        }
    }

    /// The logarithm of a text's odds against nothing of what was found.
    pub(super) fn score(&self, text: &str, Sightings { here, elsewhere }: &Sightings) -> f64 {
        let log = |count: usize| (count as f64).ln_1p();
        let others = &self.elsewhere;
        if here.places == 0 {
            return others.bias
                + others.before * log(elsewhere.before)
                + others.behind * log(elsewhere.behind)
                + others.places * (elsewhere.places as f64).ln()
                + others.length * log(text.len());
        }
        self.bias
            + self.before * log(here.before)
            + self.behind * log(here.behind)
            + self.places * (here.places as f64).ln()
            + self.distance * log(here.distance)
            + self.length * log(text.len())
            + others.also * log(elsewhere.places)
    }
}
