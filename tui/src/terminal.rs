//! The terminal's modes: raw mode and the alternate screen are entered by a guard and left whichever way the program
//! ends. What is drawn there is not known here.
//!
//! Left on drop, by the panic hook (before the panic is reported, and chained to the hook that was installed), before
//! the program dies by a signal, and for the time it is suspended. Leaving twice does nothing.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

/// Whether the terminal is in our modes at this moment.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// Whether some thread has panicked since the hook was installed; its message is on the normal screen.
static PANICKED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// One frame is written at once; 64 KiB hold a full repaint of 200x50.
const FRAME_BYTES: usize = 64 * 1024;

/// The terminal in raw mode on its alternate screen, for as long as this value lives.
#[derive(Debug)]
pub struct FullScreen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl FullScreen {
    /// Takes the terminal over. Installs the panic hook the first time.
    ///
    /// # Errors
    /// When standard output is not a terminal, or it refuses raw mode.
    pub fn enter() -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other("standard input and output are not both a terminal"));
        }
        HOOK.call_once(chain_panic_hook);
        take_over()?;
        unknown_screen().map(|terminal| Self { terminal }).inspect_err(|_| give_back())
    }

    /// Draws one frame; the terminal shows it at once or not at all where it knows synchronised updates.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        Write::flush(self.terminal.backend_mut())
    }

    /// Gives the terminal back, stops the process as ctrl-z does, and takes the terminal over again when continued.
    ///
    /// # Errors
    /// When the terminal cannot be taken over again.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        #[cfg(unix)]
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.resume()
    }

    /// Takes the terminal over again and makes the next frame a full repaint, whoever wrote to the terminal meanwhile.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn resume(&mut self) -> io::Result<()> {
        take_over()?;
        self.terminal = unknown_screen()?; // `Terminal::clear` would ask the terminal where the cursor is, and wait
        Ok(())
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether a thread has panicked: the terminal has been given back and must not be drawn to again.
pub fn has_panicked() -> bool {
    PANICKED.load(Ordering::Acquire)
}

/// Gives the terminal back and ends the process by `signal`, so that whoever started it sees why it ended.
///
/// # Errors
/// When the signal could not be raised; the terminal has been given back even so.
#[cfg(unix)]
pub fn die_by(signal: i32) -> io::Result<()> {
    give_back();
    signal_hook::low_level::emulate_default_handler(signal)
}

/// A terminal of which no cell is known, so that the next frame writes them all.
fn unknown_screen() -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())))
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    ENTERED.store(true, Ordering::Release);
    execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), DisableLineWrap, Hide)
        .inspect_err(|_| give_back())
}

/// Leaves every mode that [`take_over`] entered. A terminal that is gone cannot be told, so errors have no reader.
fn give_back() {
    if !ENTERED.swap(false, Ordering::AcqRel) {
        return;
    }
    let mut out = io::stdout().lock();
    let _gone = queue!(out, EndSynchronizedUpdate, EnableLineWrap, LeaveAlternateScreen, Show);
    let _gone = out.flush();
    let _gone = disable_raw_mode();
}

fn chain_panic_hook() {
    let installed = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Release);
        give_back();
        installed(panic);
    }));
}
