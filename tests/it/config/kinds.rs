//! Every kind alike: what each says of itself must be true.

use divert::model::objects::account::AccountSettings;

use super::*;

/// All examples in one document, with what they refer to.
fn examples() -> Value {
    let mut document = json!({
        "account": AccountSettings::example(),
        "servers": [{ "name": "pbx", "role": "master" }],
    });
    for kind in KINDS {
        let objects = &mut document[kind.section];
        if objects.is_null() {
            *objects = json!([]);
        }
        objects.as_array_mut().unwrap().push((kind.example)());
    }
    document
}

#[test]
fn the_examples_of_all_kinds_make_one_document() {
    let nothing = Configuration::default();
    let read = read_document(&examples(), &nothing, Unnamed::Keep, &mut minter());
    let Reading { configuration, warnings, .. } =
        read.unwrap_or_else(|problems| panic!("{}", rendered(&problems)));
    assert_eq!(warnings, []);
    let written = write_document(&configuration);
    for kind in KINDS {
        let example = (kind.example)();
        let written = written[kind.section].as_array().unwrap();
        let written = written.iter().find(|one| one["name"] == example["name"]).unwrap();
        assert!(holds(written, &example), "{}: {written:#}", kind.word);
    }
}

/// Whether everything of `part` is in `whole`, which may have more keys.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole.iter().zip(part).all(|(one, other)| holds(one, other))
        }
        _ => whole == part,
    }
}

#[test]
fn the_example_of_a_number_adds_it_to_a_flow() {
    let mut document = examples();
    document["numbers"] = json!([Number::example()]);
    let nothing = Configuration::default();
    let read = read_document(&document, &nothing, Unnamed::Keep, &mut minter()).unwrap();
    assert!(
        flow(&read.configuration, "sales").dids.iter().any(|did| did.as_str() == "+12025550177")
    );
}

#[test]
fn every_field_is_described_and_its_default_can_be_typed() {
    for kind in KINDS {
        let fields = (kind.fields)();
        assert_eq!([fields[0].name, fields[1].name], ["id", "name"], "{}", kind.word);
        for field in fields {
            let what = format!("{}.{}", kind.word, field.name);
            assert!(field.doc().ends_with('.'), "{what}: {:?}", field.doc());
            let Some(default) = &field.default else { continue };
            let mut document = examples();
            let objects = document[kind.section].as_array_mut().unwrap();
            objects.last_mut().unwrap()[field.name] = default.clone();
            let nothing = Configuration::default();
            let read = read_document(&document, &nothing, Unnamed::Keep, &mut minter());
            let read = read.unwrap_or_else(|all| panic!("{what}: {}", rendered(&all)));
            let written = write_document(&read.configuration);
            let written = written[kind.section].as_array().unwrap();
            let name = &(kind.example)()["name"];
            let written = written.iter().find(|one| one["name"] == *name).unwrap();
            assert!(written[field.name] == *default, "{what}: {}", written[field.name]);
        }
    }
}

/// Text, a number, a list and a mapping stand for each field in turn: whatever does not fit is told of
/// at that field, and nothing else is.
#[test]
fn what_does_not_fit_a_field_is_told_at_that_field() {
    let junk = [json!("no such thing: at all"), json!(-1_000_000), json!([[]]), json!({"?": 1})];
    for kind in KINDS {
        for field in (kind.fields)().into_iter().filter(|field| field.name != "id") {
            for junk in &junk {
                let mut document = examples();
                let objects = document[kind.section].as_array_mut().unwrap();
                let at = objects.len() - 1;
                objects[at][field.name] = junk.clone();
                let nothing = Configuration::default();
                let read = read_document(&document, &nothing, Unnamed::Keep, &mut minter());
                let here = format!("/{}/{at}/{}", kind.section, field.name);
                let (what, name) = (format!("{} {junk}", kind.word), field.name);
                match read {
                    // A name may be almost anything, and so may words to be spoken.
                    Ok(_) => assert!(["name", "text"].contains(&name), "{what}: {name} is taken"),
                    Err(problems) => assert!(
                        problems.iter().any(|problem| problem.pointer.starts_with(&here))
                            || name == "name",
                        "{what}: {}",
                        rendered(&problems)
                    ),
                }
            }
        }
    }
}
