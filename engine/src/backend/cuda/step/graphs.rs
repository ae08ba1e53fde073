//! Graphs of the steps that were taken, by their shapes.

use lacuna_kernels::Graph;

use super::StepShape;

/// Shapes that are remembered at most. A run of one canvas has three: its first step, its last, and those between.
const SHAPES_MAX: usize = 32;

/// The latest shapes, the newest last.
#[derive(Default)]
pub(in super::super) struct Graphs {
    shapes: Vec<(StepShape, Option<Graph>)>,
    /// No graph is used, for measurements.
    pub(in super::super) are_off: bool,
}

/// What there is of a shape.
pub(super) enum Known<'a> {
    /// It can be launched.
    Graph(&'a Graph),
    /// It was seen: a graph will pay, and all kernels are loaded.
    Shape,
    Nothing,
}

impl Graphs {
    pub(super) fn find(&mut self, shape: &StepShape) -> Known<'_> {
        if self.are_off {
            return Known::Nothing;
        }
        let Some(index) = self.shapes.iter().position(|(known, _)| known == shape) else { return Known::Nothing };
        let found = self.shapes.remove(index);
        self.shapes.push(found);
        match self.shapes.last() {
            Some((_, Some(graph))) if graph.is_current() => Known::Graph(graph),
            _ => Known::Shape,
        }
    }

    /// Remembers that a step of this shape was taken.
    pub(super) fn note(&mut self, shape: StepShape) {
        if !self.are_off {
            self.keep(shape, None);
        }
    }

    pub(super) fn add(&mut self, shape: StepShape, graph: Graph) {
        self.shapes.retain(|(known, _)| *known != shape);
        self.keep(shape, Some(graph));
    }

    fn keep(&mut self, shape: StepShape, graph: Option<Graph>) {
        if self.shapes.len() == SHAPES_MAX {
            self.shapes.remove(0);
        }
        self.shapes.push((shape, graph));
    }

    /// How many graphs there are.
    #[cfg(test)]
    pub(in super::super) fn count(&self) -> usize {
        self.shapes.iter().filter(|(_, graph)| graph.is_some()).count()
    }
}
