//! A fill on the embedded model, as an editor asks for it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lacuna_engine::{
    Cancel, Device, Extent, Hole, InfillRequest, Infiller, Language, LocalInfiller, LocalOptions, ModelSource,
};

/// This very file, often enough that the prompt is full.
const TEXT: &str = include_str!("infill.rs");

fn request(hole_tokens: usize) -> InfillRequest {
    let text = TEXT.repeat(3);
    let caret = text.len() - TEXT.len() + TEXT.find("let text").map_or(0, |found| found + 4);
    let hole = Hole { max_tokens: Some(hole_tokens), ..Hole::new(caret..caret, Extent::Line) };
    InfillRequest { seed: 1, ..InfillRequest::new(text, Language::Rust, vec![hole]) }
}

fn infill(criterion: &mut Criterion) {
    let options =
        LocalOptions { model: ModelSource::Embedded, device: Device::Auto, threads: None, ..LocalOptions::default() };
    let engine = LocalInfiller::open(&options).expect("the embedded model opens");
    let fill = |request: &InfillRequest| engine.infill(request, &Cancel::new(), &mut |_| {}).expect("a fill");
    let request = request(32);
    fill(&request);
    criterion.bench_function("fill of 32 tokens, prompt cached", |bench| {
        bench.iter(|| black_box(fill(&request)));
    });
    criterion.bench_function("open the embedded model", |bench| {
        bench.iter(|| LocalInfiller::open(&options).expect("the embedded model opens").describe().parameters);
    });
}

criterion_group!(benches, infill);
criterion_main!(benches);
