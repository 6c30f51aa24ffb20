//! What is chosen, and how each event changes it: a pure function of event and moment.
//! Where events come from, and how effects are carried out, is not known here.

use crossterm::event::KeyEvent;
use heartline_shared::UnixMillis;

use crate::alerting::{AlertRow, Board};
use crate::keymap::{Action, Context, action};
use crate::model::{Model, Target, TargetReading};
use crate::screen::{Opens, Screen, TableChoice, View};
use crate::source::Traces;
use crate::source::traces::Traced;
use crate::text::Text;
use crate::views::alerts::AlertLine;
use crate::views::{Charts, Scene, Theme, help, page};

/// The longest filter, in characters.
const FILTER_MAX: usize = 64;

/// What is known of the targets and their alerts.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The targets.
    pub model: &'k Model,
    /// The alerts.
    pub board: &'k Board,
    /// What the attended target told of its requests.
    pub traces: Option<&'k Traces>,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has so many rows now.
    Resized(u16),
    /// Polls ended.
    Arrived,
    /// Time passed: ages, the clock, alerts.
    Ticked,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Draw a frame at once: somebody is waiting for it.
    Draw,
    /// Draw a frame soon: the numbers changed.
    DrawSoon,
    /// Draw every cell again.
    Repaint,
    /// Stop the process and give the terminal back until it is continued.
    Suspend,
    /// End the program.
    Quit,
}

/// What is shown while paused.
#[derive(Debug)]
struct Frozen {
    at: UnixMillis,
    readings: Vec<TargetReading>,
    alerts: Vec<AlertRow>,
    traces: Option<Traces>,
}

/// What is chosen, and what is frozen while paused.
#[derive(Debug)]
pub struct State {
    screen: Screen,
    frozen: Option<Frozen>,
    /// The request whose detail was opened, as it was last told of.
    opened: Option<Traced>,
    /// Rows of the terminal.
    rows: u16,
    theme: Theme,
}

impl State {
    /// The overview of the first target is chosen, in a terminal of so many rows.
    pub fn new(theme: Theme, rows: u16) -> Self {
        Self { screen: Screen::default(), frozen: None, opened: None, rows, theme }
    }

    /// What is chosen.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Takes an event in at a moment, and says what is to be done.
    pub fn update(&mut self, event: Event, known: Known<'_>, now: UnixMillis) -> Effect {
        match event {
            Event::Key(key) => match action(self.context(), &key) {
                Some(action) => self.act(action, known, now),
                None => Effect::Nothing,
            },
            Event::Paste(text) if self.screen.filtering => {
                for character in text.chars() {
                    self.type_character(character);
                }
                Effect::Draw
            }
            Event::Paste(_) => Effect::Nothing,
            Event::Resized(rows) => {
                self.rows = rows;
                Effect::Draw
            }
            Event::Arrived => {
                self.follow_opened(known);
                self.numbers_changed()
            }
            Event::Ticked => Effect::DrawSoon, // the clock, the ages, and for how long it has been paused
        }
    }

    /// Keeps the newest that is told of the request whose detail is open: others may take its place in the list.
    fn follow_opened(&mut self, known: Known<'_>) {
        let wanted = self.screen.table().selected.filter(|_| self.screen.detail && self.screen.view == View::Traces);
        let told = known.traces.and_then(|traces| traces.told.as_deref());
        let newest = wanted.zip(told).and_then(|(wanted, told)| told.requests.iter().find(|it| it.identity == wanted));
        if let Some(newest) = newest {
            self.opened = Some(newest.clone());
        }
    }

    /// Numbers that are not shown while paused need no frame.
    fn numbers_changed(&self) -> Effect {
        if self.frozen.is_some() { Effect::Nothing } else { Effect::DrawSoon }
    }

    /// The target whose single requests are shown, so that it must be asked for them; nobody while paused.
    pub fn attended(&self, known: Known<'_>) -> Option<usize> {
        let screen = &self.screen;
        let shows = screen.view == View::Traces || (screen.view == View::Requests && screen.detail);
        (shows && self.frozen.is_none()).then(|| self.target_index(known.model.targets().len()))
    }

    /// Hands all that a frame is drawn from to `draw`.
    pub fn show<R>(&self, known: Known<'_>, now: UnixMillis, draw: impl FnOnce(&Scene<'_>) -> R) -> R {
        let at = self.frozen.as_ref().map_or(now, |frozen| frozen.at);
        let targets = self.readings(known);
        let shown = known.model.targets().get(self.target_index(targets.len()));
        let alerts = self.alerts(known, at);
        draw(&Scene {
            targets: &targets,
            charts: shown.map(|target| -> &dyn Charts { target }),
            alerts: &alerts,
            problems: &known.board.problems,
            traces: self.frozen.as_ref().map_or(known.traces, |frozen| frozen.traces.as_ref()),
            opened: self.opened.as_ref().filter(|_| self.screen.detail && self.screen.view == View::Traces),
            screen: &self.screen,
            now: at,
            paused: self.frozen.as_ref().map(|frozen| now.since(frozen.at)),
            theme: self.theme,
        })
    }

    fn readings<'k>(&'k self, known: Known<'k>) -> Vec<&'k TargetReading> {
        match &self.frozen {
            Some(frozen) => frozen.readings.iter().collect(),
            None => known.model.targets().iter().map(Target::reading).collect(),
        }
    }

    fn alerts(&self, known: Known<'_>, at: UnixMillis) -> Vec<AlertLine> {
        let rows = self.frozen.as_ref().map_or(&known.board.rows, |frozen| &frozen.alerts);
        rows.iter().map(|row| AlertLine::at(row, at)).collect()
    }

    fn target_index(&self, targets: usize) -> usize {
        self.screen.target.min(targets.saturating_sub(1))
    }

    fn context(&self) -> Context {
        if self.screen.help.is_some() {
            Context::Help
        } else if self.screen.filtering {
            Context::Filter
        } else {
            Context::View
        }
    }

    fn act(&mut self, action: Action, known: Known<'_>, now: UnixMillis) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Repaint => return Effect::Repaint,
            Action::Show(view) => self.choose_view(view),
            Action::NextView => self.choose_view(self.screen.view.step(true)),
            Action::PreviousView => self.choose_view(self.screen.view.step(false)),
            Action::Move(rows) => self.move_by(rows, known, now),
            Action::First => self.move_by(i16::MIN, known, now),
            Action::Last => self.move_by(i16::MAX, known, now),
            Action::NextSort => self.choose_next_sort(),
            Action::ReverseSort => {
                let table = self.screen.table_mut();
                table.reversed = !table.reversed;
            }
            Action::StartFilter => self.screen.filtering = self.screen.view.has_rows(),
            Action::FilterCharacter(character) => self.type_character(character),
            Action::FilterDelete => {
                self.screen.table_mut().filter.pop();
            }
            Action::FilterClear => self.screen.table_mut().filter.clear(),
            Action::FilterKeep => self.screen.filtering = false,
            Action::FilterCancel => {
                self.screen.filtering = false;
                self.screen.table_mut().filter.clear();
            }
            Action::Pause => self.toggle_pause(known, now),
            Action::NextTarget => self.choose_target(true, known),
            Action::PreviousTarget => self.choose_target(false, known),
            Action::NextWindow => self.screen.window = self.screen.window.next(),
            Action::Open => self.open(known, now),
            Action::Back => self.go_back(),
            Action::Help => self.screen.help = if self.screen.help.is_some() { None } else { Some(0) },
        }
        Effect::Draw
    }

    fn choose_view(&mut self, view: View) {
        self.screen.view = view;
        self.screen.detail = false;
    }

    fn choose_target(&mut self, forward: bool, known: Known<'_>) {
        let count = known.model.targets().len().max(1);
        let at = self.target_index(count);
        self.screen.target = (at + if forward { 1 } else { count - 1 }) % count;
        if self.screen.view == View::Traces {
            // a request is one target's; a route may be every one's
            self.screen.detail = false;
        }
    }

    fn choose_next_sort(&mut self) {
        if let Some(column) = page::next_sort(self.screen.view, self.screen.table().sort) {
            let table = self.screen.table_mut();
            (table.sort, table.reversed) = (Some(column), false);
        }
    }

    fn type_character(&mut self, character: char) {
        let clean = Text::new(character.encode_utf8(&mut [0; 4]));
        let filter = &mut self.screen.table_mut().filter;
        if filter.chars().count() < FILTER_MAX {
            filter.push_str(clean.as_str());
        }
    }

    fn move_by(&mut self, rows: i16, known: Known<'_>, now: UnixMillis) {
        if let Some(first) = self.screen.help {
            let last = help::height(self.theme).saturating_sub(page::body_height(self.rows));
            self.screen.help = Some(first.saturating_add_signed(rows).min(last));
            return;
        }
        let identities = self.show(known, now, page::row_identities);
        let TableChoice { selected, .. } = self.screen.table();
        let at = selected.and_then(|selected| identities.iter().position(|row| *row == selected)).unwrap_or_default();
        let to = at.saturating_add_signed(isize::from(rows)).min(identities.len().saturating_sub(1));
        if let Some(row) = identities.into_iter().nth(to) {
            self.screen.table_mut().selected = Some(row);
        }
    }

    /// In the fleet, shows the selected target; elsewhere the detail of the selected row, which stays selected wherever
    /// the order takes it.
    fn open(&mut self, known: Known<'_>, now: UnixMillis) {
        let Some(opens) = self.screen.opens() else { return };
        let identities = self.show(known, now, page::row_identities);
        let chosen = self.screen.table().selected.filter(|row| identities.contains(row));
        let Some(row) = chosen.or(identities.into_iter().next()) else { return };
        match opens {
            Opens::Detail => {
                self.screen.table_mut().selected = Some(row);
                self.screen.detail = true;
                self.follow_opened(known);
            }
            Opens::Target => {
                let Some(at) = self.readings(known).iter().position(|target| page::target_identity(target) == row)
                else {
                    return;
                };
                self.screen.target = at;
                self.choose_view(View::Overview);
            }
        }
    }

    fn go_back(&mut self) {
        if self.screen.detail {
            self.screen.detail = false;
        } else if self.screen.table().filter.is_empty() {
            self.choose_view(View::Overview);
        } else {
            self.screen.table_mut().filter.clear();
        }
    }

    fn toggle_pause(&mut self, known: Known<'_>, now: UnixMillis) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some(Frozen {
                at: now,
                readings: self.readings(known).into_iter().cloned().collect(),
                alerts: known.board.rows.clone(),
                traces: known.traces.cloned(),
            }),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossterm::event::{KeyCode, KeyModifiers};
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    use super::*;
    use crate::model::Settings;
    use crate::model::fixture::Document;
    use crate::source::traces::fixture::{kept, open, row};
    use crate::source::{Failure, Outcome};

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    /// A state with what it is a state of.
    struct Desk {
        state: State,
        model: Model,
        board: Board,
        traces: Option<Traces>,
    }

    impl Desk {
        fn new() -> Self {
            let model = Model::new(["a:1", "b:2", "c:3"].map(Text::new), Settings::default());
            Self { state: State::new(Theme::coloured(), 24), model, board: Board::default(), traces: None }
        }

        fn known(&self) -> Known<'_> {
            Known { model: &self.model, board: &self.board, traces: self.traces.as_ref() }
        }

        fn update(&mut self, event: Event) -> Effect {
            let Self { state, model, board, traces } = self;
            state.update(event, Known { model, board, traces: traces.as_ref() }, NOW)
        }

        fn press(&mut self, keys: &str) -> Effect {
            let code = |key| match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                key => KeyCode::Char(key),
            };
            let press = |key| Event::Key(KeyEvent::new(code(key), KeyModifiers::NONE));
            keys.chars().map(|key| self.update(press(key))).last().unwrap_or(Effect::Nothing)
        }

        fn screen(&self) -> &Screen {
            self.state.screen()
        }

        fn show<R>(&self, now: UnixMillis, look: impl FnOnce(&Scene<'_>) -> R) -> R {
            self.state.show(self.known(), now, look)
        }
    }

    fn failed(at: UnixMillis) -> Outcome {
        Outcome {
            target: 0,
            generation: at.0,
            at,
            took: Duration::from_millis(5),
            answer: Err(Failure::new("connection refused")),
        }
    }

    #[test]
    fn digits_and_tab_choose_the_view() {
        let mut desk = Desk::new();
        desk.press("7\t");
        assert_eq!(desk.screen().view, View::Runtime);
    }

    #[test]
    fn a_filter_takes_letters_that_are_commands_elsewhere_and_escape_removes_it() {
        let mut desk = Desk::new();
        assert_eq!(desk.press("0/qs"), Effect::Draw);
        assert_eq!(desk.screen().table().filter, "qs");
        desk.press("\u{1b}");
        assert_eq!((desk.screen().filtering, desk.screen().table().filter.as_str()), (false, ""));
    }

    #[test]
    fn what_is_typed_or_pasted_into_a_filter_is_sanitised_and_bounded() {
        let mut desk = Desk::new();
        desk.press("0/");
        desk.update(Event::Paste(format!("\u{202e}{}", "x".repeat(500))));
        let filter = desk.screen().table().filter;
        assert!(filter.starts_with("\u{fffd}x") && filter.chars().count() == FILTER_MAX, "{filter:?}");
    }

    #[test]
    fn a_view_without_rows_has_no_filter_and_no_detail() {
        let mut desk = Desk::new();
        desk.press("1/");
        assert!(!desk.screen().filtering);
        desk.press("\n");
        assert!(!desk.screen().detail);
    }

    #[test]
    fn targets_are_chosen_around_the_end() {
        let mut desk = Desk::new();
        desk.press("ttt");
        assert_eq!(desk.screen().target, 0);
        desk.press("T");
        assert_eq!(desk.screen().target, 2);
    }

    #[test]
    fn enter_in_the_fleet_shows_the_selected_target() {
        let mut desk = Desk::new();
        desk.press("0sjj\n");
        assert_eq!((desk.screen().view, desk.screen().target), (View::Overview, 2));
    }

    #[test]
    fn a_target_stays_selected_when_it_answers_for_the_first_time() {
        let mut desk = Desk::new();
        desk.press("0jj");
        let chosen = desk.screen().table().selected.clone().unwrap();
        let at = ["a:1", "b:2", "c:3"].iter().position(|name| *name == chosen).unwrap();
        desk.model.absorb(&Outcome { target: at, ..Document::at(10).arrives(NOW.0) });
        desk.press("\n");
        assert_eq!((desk.screen().view, desk.screen().target), (View::Overview, at));
    }

    #[test]
    fn the_selection_passes_queries_of_two_systems_with_one_name() {
        let mut desk = Desk::new();
        let query = |document: Document, system: &str, count: usize| {
            let labels = [("db.query.summary", "SELECT users"), ("db.system.name", system)];
            document.durations("db.client.operation.duration", &labels, &vec![0.01; count])
        };
        let systems = [("mysql", 3), ("postgresql", 2), ("sqlite", 1)];
        let document =
            systems.into_iter().fold(Document::at(10), |document, (system, count)| query(document, system, count));
        desk.model.absorb(&document.arrives(NOW.0));
        desk.press("3jj");
        assert_eq!(desk.screen().table().selected.as_deref(), Some("SELECT users sqlite"));
    }

    #[test]
    fn the_detail_stays_with_its_row_and_says_when_that_is_gone() {
        let mut desk = Desk::new();
        let requests = |seconds, routes: &[(&str, usize)]| {
            let add = |document: Document, &(route, count): &(&str, usize)| document.requests(route, "200", count, 0.1);
            routes.iter().fold(Document::at(seconds), add).arrives(NOW.0 + seconds * 1_000)
        };
        desk.model.absorb(&requests(1, &[("/b", 1), ("/a", 9)]));
        desk.press("2s\n");
        let opened = desk.screen().table().selected.clone();
        assert!(opened.is_some() && desk.screen().detail);
        desk.press("S");
        assert_eq!(desk.screen().table().selected, opened);
        desk.state.screen.table_mut().selected = Some("GET /gone".to_owned());
        let drawn = desk.show(NOW, |scene| {
            let area = Rect::new(0, 0, 80, 24);
            let mut buffer = Buffer::empty(area);
            page::draw(scene, &mut buffer, area);
            buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect::<String>()
        });
        assert!(drawn.contains("GET /gone is not there any more; esc goes back"), "{drawn}");
        desk.press("\n\u{1b}");
        assert!(!desk.screen().detail);
    }

    #[test]
    fn a_view_without_rows_opens_nothing() {
        let mut desk = Desk::new();
        desk.press("9\n");
        assert!(!desk.screen().detail);
    }

    #[test]
    fn pausing_freezes_what_is_shown_while_collecting_goes_on() {
        let mut desk = Desk::new();
        desk.press("p");
        let later = NOW + Duration::from_secs(7);
        desk.model.absorb(&failed(later));
        assert_eq!(desk.update(Event::Arrived), Effect::Nothing);
        desk.show(later, |scene| {
            assert_eq!((scene.now, scene.paused), (NOW, Some(Duration::from_secs(7))));
            assert_eq!(scene.targets[0].error, None);
        });
        desk.press(" ");
        desk.show(later, |scene| assert!(scene.paused.is_none() && scene.targets[0].error.is_some()));
    }

    #[test]
    fn a_target_is_asked_for_its_requests_only_while_they_are_shown() {
        let mut desk = Desk::new();
        desk.model.absorb(&Document::at(10).requests("/a", "200", 3, 0.1).arrives(NOW.0));
        let attended = |desk: &Desk| desk.state.attended(desk.known());
        assert_eq!(attended(&desk), None);
        desk.press("x");
        assert_eq!(attended(&desk), Some(0));
        desk.press("tt");
        assert_eq!(attended(&desk), Some(2));
        desk.press("p");
        assert_eq!(attended(&desk), None, "what is frozen needs no answers");
        desk.press("pt2");
        assert_eq!(attended(&desk), None);
        desk.press("\n");
        assert_eq!(attended(&desk), Some(0), "the detail of a route names its slowest");
    }

    #[test]
    fn requests_are_selected_opened_and_frozen() {
        let mut desk = Desk::new();
        let told = |names: &[&str]| {
            let rows = names.iter().map(|name| row(name, 1, None)).collect::<Vec<_>>();
            Traces::of(0, &[open(), kept(&rows, &[])])
        };
        desk.traces = Some(told(&["r-2", "r-3"]));
        desk.press("xj");
        assert_eq!(desk.screen().table().selected.as_deref(), Some("k-r-3"));
        desk.press("\np");
        desk.traces = Some(told(&["r-4"]));
        desk.show(NOW, |scene| assert_eq!(scene.told().unwrap().requests.len(), 3));
        desk.press("p");
        desk.show(NOW, |scene| assert_eq!(scene.told().unwrap().requests.len(), 2));
    }

    #[test]
    fn a_request_that_was_opened_is_remembered_as_it_was_last_told_of() {
        let mut desk = Desk::new();
        let told = |name: &str| Traces::of(0, &[open(), kept(&[row(name, 1, None)], &[])]);
        desk.traces = Some(told("r-2"));
        desk.press("xg\n");
        desk.traces = Some(told("r-3"));
        desk.update(Event::Arrived);
        let opened = |desk: &Desk| desk.show(NOW, |scene| scene.opened.map(|opened| opened.identity.clone()));
        assert_eq!(opened(&desk).as_deref(), Some("k-r-2"));
        desk.press("\u{1b}g\n");
        assert_eq!(opened(&desk).as_deref(), Some("k-r-3"));
    }

    #[test]
    fn a_request_of_one_target_is_not_shown_as_another_ones() {
        let mut desk = Desk::new();
        desk.traces = Some(Traces::of(0, &[open(), kept(&[row("r-2", 1, None)], &[])]));
        desk.press("xg\n");
        assert!(desk.show(NOW, |scene| scene.opened.is_some()));
        desk.press("t");
        assert!(!desk.screen().detail && desk.show(NOW, |scene| scene.opened.is_none()));
        desk.press("2\nt");
        assert_eq!(desk.screen().view, View::Requests);
    }

    #[test]
    fn the_help_scrolls_to_its_end_and_no_further() {
        let mut desk = Desk::new();
        desk.press(&format!("?{}", "j".repeat(300)));
        let end = desk.screen().help.unwrap();
        assert_eq!(end, help::height(Theme::coloured()) - 21, "the last line is in the last of 21 rows");
        desk.press("k");
        assert_eq!(desk.screen().help, Some(end - 1), "the first key back is seen");
        desk.update(Event::Resized(200));
        desk.press("j");
        assert_eq!(desk.screen().help, Some(0));
    }

    #[test]
    fn escape_goes_back_one_step_at_a_time() {
        let mut desk = Desk::new();
        desk.press("0/a\n\u{1b}");
        assert_eq!((desk.screen().view, desk.screen().table().filter.as_str()), (View::Targets, ""));
        desk.press("\u{1b}");
        assert_eq!(desk.screen().view, View::Overview);
    }

    #[test]
    fn sorting_goes_through_the_columns_and_around() {
        let mut desk = Desk::new();
        desk.press("0S");
        assert!(desk.screen().table().reversed);
        let columns: Vec<Option<usize>> = (0..11)
            .map(|_| {
                desk.press("s");
                desk.screen().table().sort
            })
            .collect();
        assert_eq!(columns, (1..11).chain([0]).map(Some).collect::<Vec<_>>());
        assert!(!desk.screen().table().reversed);
    }

    #[test]
    fn a_view_whose_rows_open_nothing_leaves_enter_and_escape_alone() {
        for view in ["4", "5", "6"] {
            let mut desk = Desk::new();
            let document = Document::at(10)
                .number("db.client.connection.max", &[("db.client.connection.pool.name", "main")], 9.0)
                .number("heartline.cache.size", &[("cache.name", "users"), ("cache.tier", "l1")], 9.0)
                .number("heartline.job.count", &[("queue.name", "email"), ("job.state", "waiting")], 9.0);
            desk.model.absorb(&document.arrives(NOW.0));
            desk.press(&format!("{view}j"));
            assert!(desk.screen().table().selected.is_some(), "{view} has a row");
            desk.press("\n\u{1b}");
            assert_eq!(desk.screen().view, View::Overview);
        }
    }

    #[test]
    fn the_help_covers_the_view_and_any_of_its_keys_closes_it() {
        for close in ["?", "q", "\n", "\u{1b}"] {
            let mut desk = Desk::new();
            desk.press("?j");
            assert_eq!(desk.screen().help, Some(1));
            assert_eq!(desk.press(close), Effect::Draw);
            assert_eq!(desk.screen().help, None);
        }
    }
}
