//! `ringwall do` at a real terminal: what it shows must be what the program shows without it.

use ringwall_tests::inside;
use ringwall_tests::terminal::{PROMPT, Terminal, same_as_native};
use std::time::Duration;

const SHELL: &[&str] = &["bash", "--norc", "--noprofile", "-i"];

/// What the keys send.
const INTERRUPT: &str = "\x03";
const END: &str = "\x04";
const SUSPEND: &str = "\x1a";
const QUIT: &str = "\x1c";

#[test]
fn a_shell_echoes_edits_lines_and_remembers_them() {
    same_as_native(SHELL, |terminal| {
        terminal.wait_for(PROMPT);
        assert_eq!(terminal.at_prompt("echo one two"), "echo one two\r\n\x1b[?2004l\rone two\r\n\x1b[?2004h");
        // Backspace, to the start, to the end, kill a word, back in the history.
        terminal.at_prompt("ecko\x7f\x7fho three");
        terminal.at_prompt("cho four\x01e\x05 five");
        terminal.at_prompt("echo six seven\x17eight");
        terminal.at_prompt("\x1b[A\x7f\x7fend");
        terminal.at_prompt("\x1b[D\x1b[D");
        terminal.at_prompt("test -t 0 && test -t 1 && test -t 2 && ps -o tty= -p $$ | grep -c pts");
        terminal.at_prompt("stty size; stty -a | grep -o 'icanon\\|-echo \\|isig'");
        terminal.send("exit 7\r");
    });
}

#[test]
fn a_canonical_line_is_edited_by_the_terminal() {
    same_as_native(&["sh", "-c", "echo ready; exec cat"], |terminal| {
        // What is typed earlier is echoed by the host's terminal as well.
        terminal.wait_for("ready\r\n");
        terminal.send("ab\x7fc\r");
        terminal.wait_for("c\r\nac\r\n");
        // Kill the line; erase a word; take the next key literally; send what there is without an end of line.
        terminal.send("gone\x15here\r");
        terminal.wait_for("here\r\nhere\r\n");
        terminal.send("one two\x17three\r");
        terminal.wait_for("one three\r\n");
        terminal.send("\x16\x03\r");
        terminal.wait_for("^C\r\n\x03\r\n");
        terminal.send("half");
        terminal.wait_for("half");
        terminal.send(END);
        terminal.wait_for("half");
        terminal.send("\r");
        terminal.wait_for("\r\n\r\n");
        terminal.send(END);
    });
}

#[test]
fn an_interrupt_ends_the_program_and_restores_the_terminal() {
    same_as_native(&["sh", "-c", "echo ready; exec sleep 100"], |terminal| {
        terminal.wait_for("ready");
        terminal.send(INTERRUPT);
    });
}

#[test]
fn an_interrupt_gives_130_and_a_quit_131() {
    for (key, code) in [(INTERRUPT, 130), (QUIT, 131)] {
        let mut terminal = Terminal::start(&inside(["sh", "-c", "echo ready; exec sleep 100"]));
        terminal.wait_for("ready");
        terminal.send(key);
        assert_eq!(terminal.end_restored().0, code);
    }
}

#[test]
fn jobs_stop_continue_and_end_by_key() {
    same_as_native(SHELL, |terminal| {
        terminal.wait_for(PROMPT);
        // A job that says so is in front.
        terminal.send("sh -c 'echo go; exec sleep 100'\r");
        terminal.wait_for("\rgo\r\n");
        terminal.send(SUSPEND);
        terminal.wait_for("Stopped");
        terminal.wait_for(PROMPT);
        assert!(terminal.at_prompt("jobs").contains("[1]+  Stopped"));
        terminal.send("fg\r");
        terminal.wait_for("\rsh -c");
        // It is in front a moment after its name is shown.
        std::thread::sleep(Duration::from_millis(700));
        terminal.send(INTERRUPT);
        terminal.wait_for(PROMPT);
        assert!(terminal.at_prompt("echo code $?").contains("code 130\r\n"));
        terminal.send("(echo go; cat) | cat\r");
        terminal.wait_for("\rgo\r\n");
        terminal.send("through\r");
        terminal.wait_for("through\r\nthrough\r\n");
        terminal.send(SUSPEND);
        terminal.wait_for("Stopped");
        terminal.wait_for(PROMPT);
        terminal.send("fg\r");
        terminal.wait_for(") | cat\r\n");
        std::thread::sleep(Duration::from_millis(700));
        terminal.send("again\r");
        terminal.wait_for("again\r\nagain\r\n");
        terminal.send(END);
        terminal.wait_for(PROMPT);
        terminal.send(END);
    });
}

#[test]
fn a_new_window_size_reaches_the_program() {
    same_as_native(SHELL, |terminal| {
        terminal.wait_for(PROMPT);
        terminal.at_prompt("trap 'echo size $(stty size)' WINCH");
        terminal.resize(30, 100);
        // The trap runs when the shell has a command.
        std::thread::sleep(Duration::from_millis(500));
        terminal.send("\r");
        terminal.wait_for("size 30 100\r\n");
        terminal.wait_for(PROMPT);
        terminal.send("exit\r");
    });
}

#[test]
fn raw_mode_and_no_echo_are_what_the_program_sets() {
    let script = "stty raw -echo; printf 'ready\\r\\n'; dd bs=1 count=5 2>/dev/null | od -An -c; stty sane -echo; \
                  printf 'pass: '; read -r word; stty echo; echo \"got $word\"";
    same_as_native(&["bash", "-c", script], |terminal| {
        terminal.wait_for("ready\r\n");
        terminal.send("\x03a\r\x04\x1a");
        terminal.wait_for("pass: ");
        terminal.send("secret\r");
        terminal.wait_for("got secret\r\n");
    });
}

#[test]
fn a_pager_fills_the_screen() {
    same_as_native(&["less", "-X", "/usr/share/common-licenses/Apache-2.0"], |terminal| {
        terminal.wait_for("Apache-2.0");
        terminal.send(" ");
        terminal.wait_for(":");
        terminal.send("/WARRANTIES\r");
        terminal.wait_for("WARRANTIES");
        terminal.send("G");
        terminal.wait_for("(END)");
        terminal.send("q");
    });
}

#[test]
fn a_python_prompt_takes_lines_an_interrupt_and_the_end() {
    same_as_native(&["/usr/bin/python3", "-q", "-E", "-S"], |terminal| {
        terminal.wait_for(">>> ");
        terminal.send("6*7\r");
        terminal.wait_for("42\r\n>>> ");
        terminal.send("unfinished");
        terminal.wait_for("unfinished");
        // Python misses an interrupt, natively too, while it looks at a key.
        std::thread::sleep(Duration::from_millis(400));
        terminal.send(INTERRUPT);
        terminal.wait_for("KeyboardInterrupt\r\n>>> ");
        terminal.send(END);
    });
}

#[test]
fn much_output_and_a_long_line_come_through_unchanged() {
    same_as_native(&["bash", "-c", "seq 1 20000; echo ready; head -n 1 | wc -c"], |terminal| {
        terminal.wait_for("ready\r\n");
        terminal.send(&"x".repeat(4000));
        terminal.send("\r");
        terminal.wait_for("4001\r\n");
    });
}

#[test]
fn a_closed_terminal_hangs_the_program_up() {
    let mut terminal = Terminal::start(&inside(["sh", "-c", "echo ready; exec sleep 100"]));
    terminal.wait_for("ready");
    assert_eq!(terminal.hang_up(), 129);
}
