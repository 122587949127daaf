//! `ringwall lat`: the same calls on both sides.

use ringwall_tests::outcome::outcome;
use ringwall_tests::verb;
use tempfile::TempDir;

#[test]
fn calls_are_measured_natively_and_inside() {
    let directory = TempDir::new().expect("a directory");
    let chart = directory.path().join("chart.svg");
    let words = ["lat", "--calls", "getppid,read,pipe", "-n", "200", "--json", "--svg"];
    let outcome = outcome(verb(words).arg(&chart));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for part in ["\"entry\":", "\"dispatch\":", "\"handler\":", "\"exit\":"] {
        assert_eq!(outcome.stdout.matches(part).count(), 3, "{part}: {outcome:?}");
    }
    for part in ["\"name\":\"getppid\"", "\"name\":\"read\"", "\"name\":\"pipe\"", "\"p999Ns\"", "\"kvm\"", "\"cpu\""] {
        assert!(outcome.stdout.contains(part), "{part}: {outcome:?}");
    }
    // Each side's times; of the parts those whose calls were seen to the end.
    assert!(outcome.stdout.matches("\"count\":200").count() >= 6, "{outcome:?}");
    let chart = std::fs::read_to_string(chart).expect("a chart");
    assert!(chart.starts_with("<svg") && chart.ends_with("</svg>\n") && chart.matches("<title>").count() == 6);
    assert_eq!(chart.matches(">entry ").count(), 3, "{chart}");
}

#[test]
fn every_call_can_be_measured() {
    let outcome = outcome(&mut verb(["lat", "-n", "5"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout.matches(" native ").count(), outcome.stdout.matches(" inside ").count());
    assert!(outcome.stdout.contains("\nfork "), "{outcome:?}");
    assert!(outcome.stdout.contains(" probes  entry "), "{outcome:?}");
}

#[test]
fn a_sandbox_that_is_not_probed_has_no_call_for_it() {
    let exe = std::fs::canonicalize(ringwall_tests::ringwall()).expect("the program");
    let exe = exe.to_str().expect("a path in UTF-8");
    let outcome = outcome(&mut verb(["do", "--", exe, "lat-measure", "-n", "1", "--calls", "getppid", "--probed"]));
    assert!(outcome.code != 0 && outcome.stderr.contains("Function not implemented"), "{outcome:?}");
}

#[test]
fn what_is_not_measured_is_named() {
    outcome(&mut verb(["lat", "--calls", "getppid,raed"]))
        .assert_refused("\"raed\" is not measured; these are: getppid");
    outcome(&mut verb(["lat", "-n", "0"])).assert_refused("0 is not in 1..=10000000");
    outcome(&mut verb(["lat", "-n", "1", "--svg", "/none/x.svg"])).assert_refused("cannot write /none/x.svg");
}
