use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LogLevel, MidLine, Problem, Settings};

/// The settings in `sent`, which have to be without a problem.
fn read(sent: &Value) -> Settings {
    let (settings, problems) = Settings::read(sent);
    assert_eq!(problems, [], "{sent}");
    settings
}

/// What is said about `sent`, of which nothing may be used.
fn complaints(sent: &Value) -> Vec<String> {
    let (settings, problems) = Settings::read(sent);
    assert_eq!(settings, Settings::default(), "{sent}");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_sent_is_the_defaults() {
    for sent in [json!(null), json!({}), json!([]), json!({"lacuna": null}), json!({"lacuna": {}, "other": 3})] {
        assert_eq!(read(&sent), Settings::default(), "{sent}");
    }
}

#[test]
fn null_is_a_settings_default() {
    let sent = json!({"device": null, "inlineCompletion": null, "languages": {"rust": null}, "log": {"level": null}});
    assert_eq!(read(&sent), Settings::default());
}

#[test]
fn the_defaults_are_read_as_they_are_written() {
    let defaults = serde_json::to_value(Settings::default()).expect("settings are JSON");
    assert_eq!(read(&defaults), Settings::default());
}

#[test]
fn every_setting_is_read() {
    let sent = json!({
        "model": "/models/one", "device": "cuda:1", "prompt": "chat", "threads": 4, "enable": false,
        "languages": {"rust": false, "python": true},
        "inlineCompletion": {
            "automatic": false, "debounceMs": 0, "comments": false, "strings": false, "midLine": "always",
            "candidates": 5, "minConfidence": 0.5, "otherFiles": false, "prefetch": false, "maxLines": 1,
        },
        "nextPlace": false, "markdown": {"formatOnSaveWithModel": true},
        "exclude": ["private/**"], "respectGitignore": false, "previewFillAll": false, "drafts": true, "stats": false,
        "log": {"level": "trace", "file": "/var/log/lacuna.log", "text": true},
    });
    let settings = read(&sent);
    assert_eq!(settings.inline_completion.mid_line, MidLine::Always);
    assert_eq!(settings.log.level, LogLevel::Trace);
    assert_eq!(serde_json::to_value(&settings).expect("settings are JSON"), sent);
    assert_eq!(read(&json!({"lacuna": sent, "rust-analyzer": {"check": 3}})), settings);
}

#[test]
fn editors_may_write_things_their_own_way() {
    let settings = read(&json!({
        "model": "", "languages": [], "inlineCompletion.debounceMs": 5.0, "inlineCompletion": {"maxLines": 2},
        "log.level": "info",
    }));
    assert_eq!(settings.model, None);
    assert_eq!((settings.inline_completion.debounce_ms, settings.inline_completion.max_lines), (5, 2));
    assert_eq!(settings.log.level, LogLevel::Info);
}

#[test]
fn a_wrong_setting_alone_has_its_default() {
    let sent = json!({"drafts": true, "inlineCompletion": {"candidates": 6, "maxLines": 7}});
    let (settings, problems) = Settings::read(&sent);
    assert!(settings.drafts);
    assert_eq!((settings.inline_completion.candidates, settings.inline_completion.max_lines), (3, 7));
    assert_eq!(
        problems,
        [Problem {
            key: "inlineCompletion.candidates".to_owned(),
            message: "`inlineCompletion.candidates` must be a whole number from 1 to 5".to_owned(),
        }]
    );
}

#[test]
fn wrong_values_are_told_what_they_must_be() {
    for (sent, complaint) in [
        (json!(3), "the settings must be an object"),
        (json!({"log": "debug"}), "`log` must be an object"),
        (json!({"languages": ["rust"]}), "`languages` must be an object"),
        (json!({"languages": {"rust": "off"}}), "`languages.rust` must be true or false"),
        (json!({"enable": "yes"}), "`enable` must be true or false"),
        (json!({"device": "tpu"}), "`device` must be auto, cpu, cuda or cuda:N"),
        (json!({"device": "cuda:99999999999999999999"}), "`device` must be auto, cpu, cuda or cuda:N"),
        (json!({"model": 3}), "`model` must be a string or null"),
        (json!({"threads": 0}), "`threads` must be a whole number from 1 to 1024 or null"),
        (json!({"threads": -1}), "`threads` must be a whole number from 1 to 1024 or null"),
        (json!({"exclude": ["*.x", 3]}), "`exclude` must be a list of strings"),
        (json!({"exclude": "*.x"}), "`exclude` must be a list of strings"),
        (
            json!({"inlineCompletion": {"midLine": "sometimes"}}),
            "`inlineCompletion.midLine` must be \"never\", \"closers\" or \"always\"",
        ),
        (
            json!({"inlineCompletion": {"minConfidence": 1.5}}),
            "`inlineCompletion.minConfidence` must be a number from 0 to 1",
        ),
        (
            json!({"inlineCompletion": {"debounceMs": 1.5}}),
            "`inlineCompletion.debounceMs` must be a whole number from 0 to 10000",
        ),
        (
            json!({"inlineCompletion": {"debounceMs": 1e300}}),
            "`inlineCompletion.debounceMs` must be a whole number from 0 to 10000",
        ),
    ] {
        assert_eq!(complaints(&sent), [complaint], "{sent}");
    }
}

#[test]
fn unknown_settings_are_told_with_the_likeliest_one() {
    for (sent, complaint) in [
        (json!({"modle": 1}), "`modle` is not a setting; did you mean `model`?"),
        (json!({"debounce_ms": 1}), "`debounce_ms` is not a setting; did you mean `inlineCompletion.debounceMs`?"),
        (
            json!({"inlineCompletion": {"debounceMS": 1}}),
            "`inlineCompletion.debounceMS` is not a setting; did you mean `inlineCompletion.debounceMs`?",
        ),
        (json!({"log": {"levels": {"a": 1}}}), "`log.levels` is not a setting; did you mean `log.level`?"),
        (json!({"inlineCompletion.x.y.z": 1}), "`inlineCompletion.x.y.z` is not a setting"),
        (json!({"zzzzzzzz": 1}), "`zzzzzzzz` is not a setting"),
        (json!({"a\nb": 1}), "`a\u{fffd}b` is not a setting"),
    ] {
        assert_eq!(complaints(&sent), [complaint], "{sent}");
    }
}

#[test]
fn a_flood_of_wrong_settings_is_not_answered_in_kind() {
    let sent = Value::Object((0..10_000).map(|number| (format!("wrong{number}"), json!(1))).collect());
    assert_eq!(complaints(&sent).len(), super::read::MAX_PROBLEMS);
}

#[test]
fn languages_are_on_unless_they_or_all_are_off() {
    let settings = read(&json!({"languages": {"rust": false, "python": true}}));
    assert_eq!(["rust", "python", "lua"].map(|id| settings.is_enabled_for(id)), [false, true, true]);
    let settings = read(&json!({"enable": false, "languages": {"python": true}}));
    assert!(!settings.is_enabled_for("python"));
}

#[test]
fn only_what_the_model_runs_with_needs_it_loaded_again() {
    let default = Settings::default();
    for sent in [json!({"model": "/m"}), json!({"device": "cpu"}), json!({"prompt": "raw"}), json!({"threads": 2})] {
        assert!(default.differences_needing_reload(&read(&sent)), "{sent}");
    }
    for sent in [json!({}), json!({"drafts": true, "exclude": ["x"], "log": {"text": true}})] {
        assert!(!default.differences_needing_reload(&read(&sent)), "{sent}");
    }
}

#[test]
fn the_schema_describes_every_setting_and_gives_its_default() {
    fn check(schema: &Value, defaults: &Value, path: &str) -> usize {
        let properties = schema["properties"].as_object().expect("an object's schema has properties");
        let names: Vec<&String> = properties.keys().collect();
        let known: Vec<&String> = defaults.as_object().expect("a default is an object too").keys().collect();
        assert_eq!(names, known, "{path}");
        let mut count = 0;
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.') && !description.contains('\n'), "{path}: {description}");
            assert_eq!(property.get("default"), Some(&defaults[name]), "{path}");
            let is_nested = property.get("properties").is_some();
            count += if is_nested { check(property, &defaults[name], &path) } else { 1 };
        }
        count
    }
    let schema = Settings::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    let defaults = serde_json::to_value(Settings::default()).expect("settings are JSON");
    assert_eq!(check(&schema, &defaults, ""), 26);
}

fn any_json() -> impl Strategy<Value = Value> {
    // Names that are settings make what follows them more than unknown.
    let name = prop_oneof![
        "[a-z.]{0,8}",
        prop::sample::select(vec![
            "lacuna",
            "model",
            "device",
            "threads",
            "languages",
            "inlineCompletion",
            "debounceMs",
            "midLine",
            "candidates",
            "minConfidence",
            "exclude",
            "log",
            "level",
            "file",
            "log.level",
            "inlineCompletion.maxLines",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..12).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["auto", "cuda:1", "never", "warn", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_sent_gives_settings_that_can_be_sent(sent in any_json()) {
        let (settings, problems) = Settings::read(&sent);
        // What passed the schema, the types take.
        prop_assert!(problems.iter().all(|problem| !problem.message.contains("could not be read")), "{:?}", problems);
        let written = serde_json::to_value(&settings).expect("settings are JSON");
        prop_assert_eq!(Settings::read(&written), (settings, Vec::new()));
    }
}
