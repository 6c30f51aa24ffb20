//! The one table of keys: key and context to action, with the words that footer and help show. What an action does
//! is not known here.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::screen::View;

/// What the keys mean at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// A view is shown.
    View,
    /// The filter is being typed.
    Filter,
    /// The help covers the view.
    Help,
}

/// What the person wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// End the program.
    Quit,
    /// Stop the process and give the terminal back until it is continued.
    Suspend,
    /// Paint everything again.
    Repaint,
    /// Show a view.
    Show(View),
    /// Show the view after this one.
    NextView,
    /// Show the view before this one.
    PreviousView,
    /// Select another row, or scroll, that many rows further down.
    Move(i16),
    /// Select the first row.
    First,
    /// Select the last row.
    Last,
    /// Order the rows by the next column.
    NextSort,
    /// Turn the order around.
    ReverseSort,
    /// Type a filter.
    StartFilter,
    /// Add a character to the filter.
    FilterCharacter(char),
    /// Remove the last character of the filter.
    FilterDelete,
    /// Remove the whole filter and go on typing.
    FilterClear,
    /// Keep the filter and leave typing.
    FilterKeep,
    /// Remove the filter and leave typing.
    FilterCancel,
    /// Freeze what is shown, or go on.
    Pause,
    /// Show the next target.
    NextTarget,
    /// Show the previous target.
    PreviousTarget,
    /// Show a longer or the shortest window.
    NextWindow,
    /// Show the detail of the selected row.
    Open,
    /// Leave the detail, or else remove the filter, or else go to the overview.
    Back,
    /// Show or hide the help.
    Help,
}

/// One line of the table: keys that do the same in one context.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where it holds.
    pub context: Context,
    /// Its keys with their actions; the first is the one the footer shows.
    pub keys: &'static [(Key, Action)],
    /// How the help writes the keys.
    pub written: &'static str,
    /// What it does, for the help; a sentence without a stop.
    pub help: &'static str,
    /// One word for the footer; empty keeps it out of the footer.
    pub word: &'static str,
}

/// A key as the table writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A key without control or alt; shift is part of the character.
    Plain(KeyCode),
    /// A letter with control.
    Control(char),
    /// Any character that can be typed.
    Typed,
}

const fn character(letter: char, action: Action) -> (Key, Action) {
    (Key::Plain(KeyCode::Char(letter)), action)
}

const fn plain(code: KeyCode, action: Action) -> (Key, Action) {
    (Key::Plain(code), action)
}

const fn view(
    keys: &'static [(Key, Action)],
    written: &'static str,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding { context: Context::View, keys, written, help, word }
}

/// Rows that page up and page down move by.
const PAGE: i16 = 10;

/// Every key. The footer shows the words in this order as far as they fit; the help shows all lines.
pub const BINDINGS: &[Binding] = &[
    view(&[character('?', Action::Help), plain(KeyCode::F(1), Action::Help)], "?", "help", "show or hide this help"),
    view(
        &[
            character('1', Action::Show(View::Overview)),
            character('2', Action::Show(View::Requests)),
            character('3', Action::Show(View::Queries)),
            character('4', Action::Show(View::Pools)),
            character('5', Action::Show(View::Caches)),
            character('6', Action::Show(View::Queues)),
            character('7', Action::Show(View::Heap)),
            character('8', Action::Show(View::Runtime)),
            character('9', Action::Show(View::Alerts)),
            character('0', Action::Show(View::Targets)),
            character('x', Action::Show(View::Traces)),
        ],
        "1-9 0 x",
        "views",
        "show the view with this key",
    ),
    view(
        &[
            plain(KeyCode::Tab, Action::NextView),
            plain(KeyCode::Right, Action::NextView),
            character('l', Action::NextView),
            plain(KeyCode::BackTab, Action::PreviousView),
            plain(KeyCode::Left, Action::PreviousView),
            character('h', Action::PreviousView),
        ],
        "tab, shift-tab, ← →",
        "",
        "next or previous view",
    ),
    view(
        &[
            plain(KeyCode::Down, Action::Move(1)),
            character('j', Action::Move(1)),
            plain(KeyCode::Up, Action::Move(-1)),
            character('k', Action::Move(-1)),
        ],
        "↑ ↓, k j",
        "",
        "select a row",
    ),
    view(
        &[
            plain(KeyCode::PageDown, Action::Move(PAGE)),
            plain(KeyCode::PageUp, Action::Move(-PAGE)),
            plain(KeyCode::Home, Action::First),
            character('g', Action::First),
            plain(KeyCode::End, Action::Last),
            character('G', Action::Last),
        ],
        "pgup pgdn, g G",
        "",
        "ten rows further; first or last row",
    ),
    view(&[plain(KeyCode::Enter, Action::Open)], "enter", "detail", "show the detail of the selected row"),
    view(&[plain(KeyCode::Esc, Action::Back)], "esc", "", "back: leave the detail, then the filter, then the view"),
    view(&[character('/', Action::StartFilter)], "/", "filter", "show only rows that contain what is typed"),
    view(&[character('s', Action::NextSort)], "s", "sort", "order the rows by the next column"),
    view(&[character('S', Action::ReverseSort)], "S", "", "turn the order around"),
    view(
        &[character('p', Action::Pause), character(' ', Action::Pause)],
        "p, space",
        "pause",
        "freeze what is shown; collecting goes on",
    ),
    view(&[character('w', Action::NextWindow)], "w", "window", "length of the charts: 1m, 5m, 15m, 1h"),
    view(
        &[character('t', Action::NextTarget), character('T', Action::PreviousTarget)],
        "t, T",
        "target",
        "next or previous target",
    ),
    view(&[(Key::Control('l'), Action::Repaint)], "ctrl-l", "", "paint the screen again"),
    view(&[(Key::Control('z'), Action::Suspend)], "ctrl-z", "", "suspend; fg comes back"),
    view(&[character('q', Action::Quit), (Key::Control('c'), Action::Quit)], "q, ctrl-c", "quit", "quit"),
    Binding {
        context: Context::Filter,
        keys: &[plain(KeyCode::Enter, Action::FilterKeep)],
        written: "enter",
        help: "keep the filter",
        word: "keep",
    },
    Binding {
        context: Context::Filter,
        keys: &[plain(KeyCode::Esc, Action::FilterCancel)],
        written: "esc",
        help: "remove the filter",
        word: "clear",
    },
    Binding {
        context: Context::Filter,
        keys: &[plain(KeyCode::Down, Action::Move(1)), plain(KeyCode::Up, Action::Move(-1))],
        written: "↑ ↓",
        help: "select a row while typing",
        word: "select",
    },
    Binding {
        context: Context::Filter,
        keys: &[plain(KeyCode::Backspace, Action::FilterDelete), (Key::Control('u'), Action::FilterClear)],
        written: "backspace, ctrl-u",
        help: "remove a character; remove all",
        word: "delete",
    },
    Binding {
        context: Context::Filter,
        keys: &[(Key::Control('c'), Action::Quit), (Key::Control('z'), Action::Suspend)],
        written: "ctrl-c, ctrl-z",
        help: "quit; suspend",
        word: "",
    },
    Binding {
        context: Context::Filter,
        keys: &[(Key::Typed, Action::FilterCharacter(' '))],
        written: "any letter",
        help: "add to the filter",
        word: "",
    },
    Binding {
        context: Context::Help,
        keys: &[
            plain(KeyCode::Esc, Action::Help),
            character('?', Action::Help),
            character('q', Action::Help),
            plain(KeyCode::Enter, Action::Help),
            plain(KeyCode::F(1), Action::Help),
        ],
        written: "esc, ?, q",
        help: "close the help",
        word: "close",
    },
    Binding {
        context: Context::Help,
        keys: &[
            plain(KeyCode::Down, Action::Move(1)),
            character('j', Action::Move(1)),
            plain(KeyCode::Up, Action::Move(-1)),
            character('k', Action::Move(-1)),
            plain(KeyCode::PageDown, Action::Move(PAGE)),
            character(' ', Action::Move(PAGE)),
            plain(KeyCode::PageUp, Action::Move(-PAGE)),
        ],
        written: "↑ ↓",
        help: "scroll the help",
        word: "scroll",
    },
    Binding {
        context: Context::Help,
        keys: &[(Key::Control('c'), Action::Quit), (Key::Control('z'), Action::Suspend)],
        written: "ctrl-c, ctrl-z",
        help: "quit; suspend",
        word: "",
    },
];

/// What a key event asks for in a context; nothing for a key without meaning there and for a key's release.
pub fn action(context: Context, event: &KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let bindings = BINDINGS.iter().filter(|binding| binding.context == context);
    bindings.flat_map(|binding| binding.keys).find_map(|(key, action)| key.matched(*action, event))
}

impl Key {
    fn matched(self, action: Action, event: &KeyEvent) -> Option<Action> {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        let other = event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META);
        match (self, event.code) {
            (Self::Control(letter), KeyCode::Char(pressed)) => {
                (control && !other && pressed.eq_ignore_ascii_case(&letter)).then_some(action)
            }
            (Self::Typed, KeyCode::Char(typed)) => (!control && !other).then_some(Action::FilterCharacter(typed)),
            (Self::Plain(code), pressed) => (!control && !other && code == pressed).then_some(action),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for context in [Context::View, Context::Filter, Context::Help] {
            let mut seen = HashSet::new();
            let bindings = BINDINGS.iter().filter(|binding| binding.context == context);
            for (key, _) in bindings.flat_map(|binding| binding.keys) {
                assert!(seen.insert(format!("{key:?}")), "{key:?} twice in {context:?}");
            }
        }
    }

    #[test]
    fn every_view_has_a_key_that_shows_it() {
        for view in View::ALL {
            let key = press(KeyCode::Char(view.key()), KeyModifiers::NONE);
            assert_eq!(action(Context::View, &key), Some(Action::Show(view)));
        }
    }

    #[test]
    fn control_c_quits_wherever_the_keys_go() {
        for context in [Context::View, Context::Filter, Context::Help] {
            assert_eq!(action(context, &press(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Action::Quit));
        }
    }

    #[test]
    fn letters_that_are_commands_elsewhere_are_text_in_the_filter() {
        let quit = press(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(action(Context::View, &quit), Some(Action::Quit));
        assert_eq!(action(Context::Filter, &quit), Some(Action::FilterCharacter('q')));
    }

    #[test]
    fn releasing_a_key_and_alt_combinations_do_nothing() {
        let mut released = press(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(action(Context::View, &released), None);
        assert_eq!(action(Context::View, &press(KeyCode::Char('q'), KeyModifiers::ALT)), None);
    }
}
