use super::{PUBLISHED, Storage, needs_of, refusal, weights_bytes};
use crate::bench::synthetic::shape;
use crate::checkpoint::Checkpoint;

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

#[test]
fn the_published_checkpoints_have_their_published_sizes() {
    let config = shape("diffusiongemma-26b-a4b").unwrap();
    let bf16 = weights_bytes(&config, Storage::Bf16) as f64 / 1e9;
    // 51.6 GB with what is for images, which is the same in every checkpoint.
    let images = PUBLISHED[0].disk_gb - bf16;
    assert!((0.5..1.5).contains(&images), "{images}");
    for published in PUBLISHED {
        let weights = weights_bytes(&config, published.storage) as f64 / 1e9;
        let difference = (weights + images - published.disk_gb).abs();
        println!("{}: {weights:.2} GB and {images:.2} GB for images", published.repository);
        assert!(difference < 0.02 * published.disk_gb, "{}: {weights} GB", published.repository);
    }
}

#[test]
fn a_card_of_24_gb_holds_the_published_nvfp4_model_with_a_long_prompt() {
    let total = |storage| {
        let published = PUBLISHED.iter().find(|published| published.storage == storage).unwrap();
        published.need().unwrap().total_bytes()
    };
    // What such a card has free with a context on it.
    let free = (24 << 30) - (1 << 30);
    assert!(total(Storage::Nvfp4Experts) < free && total(Storage::Nvfp4) < free);
    assert!(total(Storage::Fp8) > free && total(Storage::Fp8) < 32 << 30);
    assert!(total(Storage::Bf16) > 48 << 30 && total(Storage::Bf16) < 80 << 30);
}

#[test]
fn a_checkpoint_is_counted_as_it_is_stored() {
    for (name, storage) in [
        ("golden/uniform-layers-bf16", Storage::Bf16),
        ("golden/fp8-dynamic-sharded-f32", Storage::Fp8),
        ("golden/nvfp4-modelopt-bf16", Storage::Nvfp4Experts),
        ("golden/nvfp4-compressed-tensors-bf16", Storage::Nvfp4),
    ] {
        let checkpoint = Checkpoint::open_folder(&fixture(name)).unwrap();
        let stored = needs_of(&checkpoint).as_stored.weights_bytes as f64;
        let predicted = weights_bytes(&checkpoint.config, storage) as f64;
        // What is not quantised is F32 in one of them, and the scales of small matrices weigh more than those of large ones.
        let allowed = if name.contains("f32") { 0.5..2.5 } else { 0.9..1.1 };
        assert!(allowed.contains(&(stored / predicted)), "{name}: {stored} and {predicted}");
    }
    let plain = Checkpoint::open_folder(&fixture("golden/plain-f32")).unwrap();
    assert_eq!(needs_of(&plain).as_stored.weights_bytes, plain.parameters() * 4);
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers_and_what_would() {
    let checkpoint = Checkpoint::open_folder(&fixture("golden/uniform-layers-bf16")).unwrap();
    let needs = needs_of(&checkpoint);
    let total = needs.as_stored.total_bytes();
    assert_eq!(refusal(&needs, total), None);
    let reason = refusal(&needs, total - 1).unwrap();
    assert!(reason.starts_with("the model needs 0."), "{reason}");
    assert!(reason.contains("a prompt of 8192 tokens") && reason.contains("what would fit: fp8 (0."), "{reason}");
    let reason = refusal(&needs, 1).unwrap();
    assert!(reason.ends_with("no way of storing it would do; use --device cpu"), "{reason}");
}
