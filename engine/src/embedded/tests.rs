use super::open;

#[cfg(lacuna_embedded_model)]
#[test]
fn the_embedded_model_is_whole() {
    let checkpoint = open().unwrap();
    for (name, shape) in crate::checkpoint::expected_tensors(&checkpoint.config) {
        checkpoint.tensor(&name, &shape).unwrap();
    }
    let tensors = super::EMBEDDED.unwrap().tensors;
    assert_eq!(tensors.as_ptr().align_offset(64), 0);
    let tokenizer = checkpoint.tokenizer().unwrap();
    assert_eq!(checkpoint.config.lacuna.delete_token_id, tokenizer.special("<delete>"));
    assert_eq!(checkpoint.config.lacuna.layout_version, Some(1));
}

#[cfg(not(lacuna_embedded_model))]
#[test]
fn a_program_without_the_model_says_so() {
    let error = open().err().expect("there is no model");
    assert_eq!(error.to_string(), "embedded model: this program was built without it; give a checkpoint folder");
}
