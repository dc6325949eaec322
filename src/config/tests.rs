//! The configuration as an operator meets it: printed, mistyped, overridden.

use super::keys::{SET_FLAG, keys};
use super::*;

fn from_text(text: &str) -> Result<Config, Vec<String>> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    file::apply_text(Path::new("m.toml"), text, &mut config, &mut problems);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

fn problem(text: &str) -> String {
    let problems = from_text(text).expect_err("it is wrong");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.concat()
}

fn variable(name: &str, value: &str) -> Sources {
    Sources {
        environment: vec![(name.to_owned(), value.to_owned())],
        ..Sources::default()
    }
}

fn set(key: &str, value: &str) -> FlagValue {
    FlagValue {
        flag: SET_FLAG,
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn the_printed_text_parses_to_the_defaults() {
    let text = print(&Config::default());
    let parsed = from_text(&text).expect("it is right");
    // Printed again, because not all of its parts can be compared.
    assert_eq!(print(&parsed), text);
    assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
}

#[test]
fn every_key_is_printed_with_words_and_value() {
    let text = print(&Config::default());
    let table: toml::Table = text.parse().expect("TOML");
    let mut printed = Vec::new();
    for (name, value) in &table {
        match value.as_table() {
            Some(section) => printed.extend(section.keys().map(|key| format!("{name}.{key}"))),
            None => printed.push(name.clone()),
        }
    }
    printed.sort();
    let mut names: Vec<_> = keys().map(|key| key.name.to_owned()).collect();
    names.sort();
    assert_eq!(printed, names);
    for key in keys() {
        let line = format!("\n{} = ", key.split().1);
        let at = text.find(&line).expect("printed");
        let before = text[..at].lines().last().expect("a line");
        assert!(before.starts_with("# "), "{} has no words", key.name);
    }
}

/// A key whose `set` wrote another field than its `show` reads would pass the tests above.
#[test]
fn every_key_changes_what_it_shows() {
    for key in keys() {
        let default = (key.show)(&Config::default());
        let other = another_value(key.name, &default);
        let sources = Sources {
            flags: vec![set(key.name, &other)],
            ..Sources::default()
        };
        let shown = match load(&sources) {
            Ok(loaded) => (key.show)(&loaded.config),
            Err(error) => panic!("{}: {error}", key.name),
        };
        assert_ne!(shown, default, "{}", key.name);
        assert_eq!(shown.trim_matches('"'), other, "{}", key.name);
    }
}

/// A valid value that is not the default.
fn another_value(name: &str, default: &str) -> String {
    let bare = default.trim_matches('"');
    match name {
        "listen" | "admin" | "cluster.link" | "cluster.link_advertised" => "127.0.0.1:9".to_owned(),
        "cluster.kafka" | "cluster.redis" | "cluster.cassandra" => "a:1,b:2".to_owned(),
        "cluster.redis_cluster" => "yes".to_owned(),
        "cluster.keyspace" => "elsewhere".to_owned(),
        "cluster.share" => "2/3".to_owned(),
        "data" | "secret" | "secret_previous" => "elsewhere".to_owned(),
        "durability" => "os".to_owned(),
        "log" => "warn".to_owned(),
        "shards" => "3".to_owned(),
        "gateway.buffers" => "512".to_owned(),
        _ if parse_duration(bare).is_some() => {
            let doubled = parse_duration(bare).expect("just seen") * 2;
            let fits = super::text::spell_duration(doubled);
            if load_one(name, &fits) {
                fits
            } else {
                super::text::spell_duration(doubled / 4)
            }
        }
        _ => another_number(name, bare),
    }
}

fn another_number(name: &str, bare: &str) -> String {
    let digits = bare
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(bare.len());
    let (number, unit) = bare.split_at(digits);
    let number: u64 = number.parse().expect("a number with a unit or without");
    let more = format!("{}{unit}", number + 1);
    if load_one(name, &more) {
        more
    } else {
        format!("{}{unit}", number - 1)
    }
}

fn load_one(name: &str, value: &str) -> bool {
    let sources = Sources {
        flags: vec![set(name, value)],
        ..Sources::default()
    };
    load(&sources).is_ok()
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest() {
    assert_eq!(
        problem("\n\nlissten = \"127.0.0.1:1\"\n"),
        "m.toml:3: there is no key `lissten`, did you mean `listen`?; `millpond config` prints them all"
    );
    let nested = problem("[drain]\ntimout = \"1s\"\n");
    assert!(
        nested.starts_with("m.toml:2:") && nested.contains("did you mean `drain.timeout`?"),
        "{nested}"
    );
    let section = problem("[drian]\nspread = \"1s\"\n");
    assert!(
        section.starts_with("m.toml:1:") && section.contains("did you mean `drain`?"),
        "{section}"
    );
    let far = problem("qqqq = 1\n");
    assert!(!far.contains("did you mean"), "{far}");
}

#[test]
fn a_wrong_type_says_what_to_write() {
    assert_eq!(
        problem("[drain]\nspread = 5\n"),
        "m.toml:2: drain.spread: wanted a duration from 0ms to 10m (ms, s, m, h, d), found the number 5; \
         write for example: spread = \"5s\""
    );
    assert_eq!(
        problem("shards = true"),
        "m.toml:1: shards: wanted \"auto\" or a whole number from 1 to 1024, found a value of type boolean; \
         write for example: shards = \"auto\""
    );
    assert!(problem("drain = 5").contains("`drain` is a section"));
    assert!(problem("listen = [\"a\"]").contains("found a value of type array"));
    assert!(
        problem("durability = \"fast\"")
            .contains("wanted \"sync\" or \"interval\" or \"os\", found \"fast\"")
    );
}

#[test]
fn out_of_range_is_refused() {
    for text in [
        "shards = 0",
        "shards = 1025",
        "shards = 99999999999999999999999999",
        "shards = -1",
        "shards = 0x10",
        "durability_interval = \"1ms\"",
        "durability_interval = \"2h\"",
        "listen = \"localhost\"",
        "data = \"\"",
        "log = \"a=b=c\"",
    ] {
        assert!(problem(text).contains("; write for example: "), "{text}");
    }
}

#[test]
fn broken_toml_names_its_line() {
    let text = problem("listen = \"127.0.0.1:1\"\nshards = = 2\n");
    assert!(text.starts_with("m.toml:2: "), "{text}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let problems = from_text("a = 1\nb = 2\nshards = 0\n").expect_err("three mistakes");
    assert_eq!(problems.len(), 3);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.toml");
    std::fs::write(
        &path,
        "shards = 2\nlog = \"warn\"\nlisten = \"127.0.0.1:2\"\n",
    )
    .expect("written");
    let sources = Sources {
        file: Some(path),
        environment: vec![
            ("MILLPOND_SHARDS".to_owned(), "3".to_owned()),
            ("MILLPOND_LOG".to_owned(), "error".to_owned()),
            ("MILLPOND_DRAIN_SPREAD".to_owned(), "2s".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ],
        flags: vec![set("shards", "4")],
    };
    let config = load(&sources).expect("right").config;
    assert_eq!(
        config.shards,
        Shards::Count(NonZeroU16::new(4).expect("not 0"))
    );
    assert_eq!(config.log, "error");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.drain.spread, Duration::from_secs(2));
}

#[test]
fn variables_and_flags_are_named_in_their_own_words() {
    let wrong = load(&variable("MILLPOND_DRAIN_SPREAD", "5"))
        .expect_err("no unit")
        .to_string();
    assert!(
        wrong.starts_with("MILLPOND_DRAIN_SPREAD: wanted a duration"),
        "{wrong}"
    );
    assert!(wrong.ends_with("MILLPOND_DRAIN_SPREAD=5s"), "{wrong}");
    let sources = Sources {
        flags: vec![
            FlagValue {
                flag: "--listen",
                key: "listen".to_owned(),
                value: "x".to_owned(),
            },
            set("drain.spred", "1s"),
        ],
        ..Sources::default()
    };
    let wrong = load(&sources).expect_err("two mistakes").to_string();
    assert!(
        wrong.contains("--listen: wanted an IP address and a port, found \"x\""),
        "{wrong}"
    );
    assert!(wrong.contains("--listen 127.0.0.1:7400"), "{wrong}");
    assert!(
        wrong.contains("--set: there is no key `drain.spred`, did you mean `drain.spread`?"),
        "{wrong}"
    );
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let loaded = load(&variable("MILLPOND_LISTN", "127.0.0.1:1")).expect("allowed");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0].contains("did you mean `MILLPOND_LISTEN`?"),
        "{:?}",
        loaded.warnings
    );
    assert_eq!(print(&loaded.config), print(&Config::default()));
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let sources = Sources {
        file: Some(PathBuf::from("/nonexistent/m.toml")),
        ..Sources::default()
    };
    let wrong = load(&sources).expect_err("missing").to_string();
    assert!(
        wrong.contains("millpond config > /nonexistent/m.toml"),
        "{wrong}"
    );
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let sources = Sources {
        flags: vec![set("drain.spread", "30s"), set("admin", "127.0.0.1:7400")],
        ..Sources::default()
    };
    let wrong = load(&sources).expect_err("two contradictions").to_string();
    assert!(
        wrong.contains("35s together and must be shorter than drain.timeout (15s)"),
        "{wrong}"
    );
    assert!(
        wrong.contains("listen and admin are both 127.0.0.1:7400"),
        "{wrong}"
    );
}

/// What only the gateway's own start would find out names neither the key nor what to type.
#[test]
fn limits_that_cannot_be_together_name_their_keys() {
    for (given, wanted) in [
        (
            vec![set("gateway.inbox_window_default", "2000")],
            "gateway.inbox_window_default is 2000 and gateway.inbox_window_max is 1024: nobody gets more than the most; \
             write for example: --set gateway.inbox_window_max=2000",
        ),
        (
            vec![
                set("gateway.outbox_room_bytes", "1MiB"),
                set("gateway.histories_max", "6"),
            ],
            "gateway.outbox_bytes_max is 512KiB, but gateway.outbox_room_bytes is 1MiB and what may come at once for \
             gateway.histories_max (6) takes 512KiB more; raise the first to 1536KiB or lower the others",
        ),
        (
            vec![set("gateway.ring_entries", "32768")],
            "write for example: --set gateway.ring_completions=65536",
        ),
        (
            vec![set("gateway.buffers", "100")],
            "--set gateway.buffers: wanted a power of two from 8 to 32768, found \"100\"; write for example: --set \
             gateway.buffers=256",
        ),
    ] {
        let sources = Sources {
            flags: given,
            ..Sources::default()
        };
        let wrong = load(&sources).expect_err(wanted).to_string();
        assert!(wrong.contains(wanted), "{wrong}");
    }
}

#[test]
fn an_empty_name_and_a_section_are_no_keys() {
    for (name, wanted) in [
        (
            "",
            "--set: there is no key ``; `millpond config` prints them all",
        ),
        (
            "gateway",
            "--set: `gateway` is a section: it has no value, but keys such as `gateway.connections_max`; `millpond \
             config` prints them all",
        ),
    ] {
        let sources = Sources {
            flags: vec![set(name, "1")],
            ..Sources::default()
        };
        assert_eq!(load(&sources).expect_err(name).to_string(), wanted);
    }
}

#[test]
fn durations_are_parsed_strictly() {
    for (text, wanted) in [
        ("0ms", Some(Duration::ZERO)),
        ("1500ms", Some(Duration::from_millis(1500))),
        ("10s", Some(Duration::from_secs(10))),
        ("2m", Some(Duration::from_secs(120))),
        ("1d", Some(Duration::from_secs(86_400))),
        ("", None),
        ("10", None),
        ("s", None),
        ("-1s", None),
        ("+1s", None),
        ("1.5s", None),
        ("1 s", None),
        ("1h30m", None),
        ("1S", None),
        ("99999999999999999999s", None),
        ("18446744073709551615d", None),
    ] {
        assert_eq!(parse_duration(text), wanted, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn what_is_printed_is_read_again(ms in 0..u64::MAX / 2, bytes in 0..u64::MAX) {
        let duration = Duration::from_millis(ms);
        proptest::prop_assert_eq!(parse_duration(&super::text::spell_duration(duration)), Some(duration));
        let shown = super::text::spell_bytes(bytes);
        proptest::prop_assert_eq!(Given::Word(&shown).bytes(0..=u64::MAX), Ok(bytes));
    }

    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let _ = from_text(&text);
    }
}
