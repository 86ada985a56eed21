//! Reading a new password: typed twice without being shown, or from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::accounts::password::LONGEST;
use crate::problem::Problem;

/// The new password. It never stands among the arguments, which other users of the machine can see.
pub(super) fn read(from_stdin: bool) -> Result<String, Problem> {
    let unreadable = |error: io::Error| Problem::broken(format!("can't read the password: {error}"));
    if from_stdin {
        return line().map_err(unreadable);
    }
    if !io::stdin().is_terminal() {
        return Err(Problem::broken("there is no terminal to type the password in; use --password-stdin"));
    }
    let first = typed("New password: ").map_err(unreadable)?;
    match typed("Once more: ").map_err(unreadable)? == first {
        true => Ok(first),
        false => Err(Problem::broken("these are two different passwords")),
    }
}

/// One line of standard input without its end. Of a longer one than any password, more than the longest is kept, so
/// that it is refused.
fn line() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(LONGEST as u64 + 16).read_line(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_string())
}

fn typed(prompt: &str) -> io::Result<String> {
    let mut error = io::stderr();
    write!(error, "{prompt}")?;
    error.flush()?;
    let hidden = Hidden::begin()?;
    let typed = line();
    drop(hidden);
    writeln!(error)?;
    typed
}

/// While it lives the terminal shows nothing of what is typed.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Hidden> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
