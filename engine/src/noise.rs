//! Where a run's random numbers come from: a seed, or a tape that another implementation wrote.

use crate::backend::SampleNoise;
use crate::canvas::TokenSet;
use crate::philox::{self, Place, Purpose};

/// The noise of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Noise<'a> {
    Seeded(SeededNoise),
    Tape(Tape<'a>),
}

/// What an unknown position holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoiseKind {
    /// A random token.
    Uniform,
    /// This mask token.
    Absorbing(u32),
}

/// Noise from the places' seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeededNoise {
    pub(crate) kind: NoiseKind,
    pub(crate) vocabulary: u32,
}

/// Recorded noise, for canvases of one number of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tape<'a> {
    pub(crate) rows: usize,
    pub(crate) vocabulary: usize,
    /// [steps, rows, vocabulary].
    pub(crate) gumbel: &'a [f32],
    /// [steps, rows]: the tokens that rejected positions get.
    pub(crate) renoise: &'a [u32],
}

impl<'a> Noise<'a> {
    /// The Gumbel noise of one step.
    pub(crate) fn gumbel(&self, step: usize) -> SampleNoise<'a> {
        match self {
            Self::Seeded(_) => SampleNoise::Philox,
            Self::Tape(tape) => {
                let size = tape.rows * tape.vocabulary;
                SampleNoise::Tape(&tape.gumbel[step * size..][..size])
            }
        }
    }

    /// The token that a rejected position gets.
    pub(crate) fn renoise(&self, place: Place, allowed: Option<&TokenSet>) -> u32 {
        match self {
            Self::Seeded(seeded) => seeded.token(place, Purpose::Renoise, allowed),
            Self::Tape(tape) => tape.renoise[place.step as usize * tape.rows + place.row as usize],
        }
    }
}

impl SeededNoise {
    /// What a hole position holds before the first step.
    pub(crate) fn start(&self, place: Place, allowed: Option<&TokenSet>) -> u32 {
        self.token(place, Purpose::Start, allowed)
    }

    fn token(&self, place: Place, purpose: Purpose, allowed: Option<&TokenSet>) -> u32 {
        match (self.kind, allowed) {
            (NoiseKind::Absorbing(mask), _) => mask,
            (NoiseKind::Uniform, None) => philox::token(place, purpose, self.vocabulary),
            (NoiseKind::Uniform, Some(set)) => {
                let index = philox::token(place, purpose, set.len() as u32);
                set.nth(index as usize).unwrap_or(0)
            }
        }
    }
}
