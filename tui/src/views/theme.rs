//! Colours and glyphs: what the terminal can show, decided once. What is shown with them is not known here.
//!
//! The palette is Okabe and Ito's, which people with any colour vision tell apart, in tones of the 256-colour cube with
//! enough contrast on dark and on light backgrounds. Nothing is said by colour alone: severities have a glyph and a
//! word, the selected row a marker, and all of it stays readable when `NO_COLOR` removes the colours.

use ratatui::style::{Color, Modifier, Style};

const BLUE: Color = Color::Indexed(32);
const GREEN: Color = Color::Indexed(36);
const ORANGE: Color = Color::Indexed(172);
const RED: Color = Color::Indexed(167);
const PURPLE: Color = Color::Indexed(133);
const SKY: Color = Color::Indexed(74);
const GREY: Color = Color::Indexed(244);
const BLACK: Color = Color::Indexed(16);

/// How bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Not known, because there is no data.
    Unknown,
    /// As it should be.
    #[default]
    Fine,
    /// Worth knowing.
    Info,
    /// Will become worse, or already is a little.
    Warning,
    /// Hurts now.
    Critical,
}

impl Severity {
    /// The word that goes with the colour.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fine => "ok",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The characters that draw what letters do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// Braille and block characters can be drawn.
    pub unicode: bool,
    /// Marks the selected row.
    pub selected: char,
    /// Marks the column that orders the rows, largest first and smallest first.
    pub order: [char; 2],
    /// A horizontal rule.
    pub rule: char,
    /// A threshold line in a chart.
    pub threshold: char,
    /// A moment in a chart at which the process restarted.
    pub restart: char,
    /// The ground of a chart where there is no data.
    pub gap: char,
    /// What a cut text ends with.
    pub cut: char,
    /// Stands before what is slow or broken, by severity from unknown to critical.
    pub severities: [char; 5],
    /// Rising, level, falling.
    pub directions: [char; 3],
    /// Filled and empty part of a bar.
    pub bar: [char; 2],
    /// Separates items on one line.
    pub dot: char,
    /// What is written for an unknown number.
    pub none: char,
}

const UNICODE: Glyphs = Glyphs {
    unicode: true,
    selected: '▸',
    order: ['▾', '▴'],
    rule: '─',
    threshold: '╌',
    restart: '┊',
    gap: '·',
    cut: '…',
    severities: ['?', '●', '◆', '▲', '■'],
    directions: ['↑', '→', '↓'],
    bar: ['━', '─'],
    dot: '·',
    none: '–',
};

const ASCII: Glyphs = Glyphs {
    unicode: false,
    selected: '>',
    order: ['v', '^'],
    rule: '-',
    threshold: '-',
    restart: ':',
    gap: '.',
    cut: '~',
    severities: ['?', 'o', 'i', '!', 'X'],
    directions: ['^', '=', 'v'],
    bar: ['#', '.'],
    dot: '|',
    none: '-',
};

/// The terminal's colours and characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    coloured: bool,
    /// The characters to draw with.
    pub glyphs: Glyphs,
}

impl Theme {
    /// With colours and all characters.
    pub const fn coloured() -> Self {
        Self { coloured: true, glyphs: UNICODE }
    }

    /// What the terminal can show, from its environment: `NO_COLOR`, `TERM` and the locale.
    pub fn for_terminal(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let console = set("TERM").is_some_and(|term| term == "linux" || term == "dumb"); // its font has no braille
        let theme = if utf8 && !console { Self::coloured() } else { Self::coloured().ascii() };
        if set("NO_COLOR").is_some() { theme.without_colour() } else { theme }
    }

    /// Without colours.
    #[must_use]
    pub const fn without_colour(mut self) -> Self {
        self.coloured = false;
        self
    }

    /// With ASCII characters only.
    #[must_use]
    pub const fn ascii(mut self) -> Self {
        self.glyphs = ASCII;
        self
    }

    fn ink(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    /// Ordinary text: the terminal's own colours.
    pub fn text(self) -> Style {
        Style::new().fg(Color::Reset) // so that it replaces the colour of a rule it is written over
    }

    /// Labels, units and rules: less than ordinary text.
    pub fn dim(self) -> Style {
        self.ink(GREY)
    }

    /// Numbers and names that the eye should find first.
    pub fn strong(self) -> Style {
        self.text().add_modifier(Modifier::BOLD)
    }

    /// Titles of panels, and the view shown.
    pub fn title(self) -> Style {
        self.ink(BLUE).add_modifier(Modifier::BOLD)
    }

    /// The selected row.
    pub fn selection(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// Keys in the footer.
    pub fn key(self) -> Style {
        self.ink(BLUE).add_modifier(Modifier::BOLD)
    }

    /// Text about something this bad.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Unknown => self.ink(GREY),
            Severity::Fine => self.ink(GREEN),
            Severity::Info => self.ink(BLUE),
            Severity::Warning => self.ink(ORANGE),
            Severity::Critical => self.ink(RED).add_modifier(Modifier::BOLD),
        }
    }

    /// A filled label about something this bad: readable on any background because it brings its own.
    pub fn badge(self, severity: Severity) -> Style {
        if !self.coloured {
            return Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
        }
        let ground = match severity {
            Severity::Unknown => GREY,
            Severity::Fine => GREEN,
            Severity::Info => SKY,
            Severity::Warning => ORANGE,
            Severity::Critical => RED,
        };
        Style::new().fg(BLACK).bg(ground).add_modifier(Modifier::BOLD)
    }

    /// The line or area of the n-th series of a chart.
    pub fn series(self, at: usize) -> Style {
        self.ink([BLUE, GREEN, PURPLE, ORANGE, SKY][at % 5])
    }

    /// The glyph of a severity.
    pub fn glyph(self, severity: Severity) -> char {
        self.glyphs.severities[severity as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Severity; 5] =
        [Severity::Unknown, Severity::Fine, Severity::Info, Severity::Warning, Severity::Critical];

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        let theme = |variables: &'static [(&str, &str)]| {
            Theme::for_terminal(|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(theme(&[("LANG", "de_DE.UTF-8")]), Theme::coloured());
        assert_eq!(theme(&[("LC_ALL", "C.utf8"), ("NO_COLOR", "1")]), Theme::coloured().without_colour());
        assert_eq!(theme(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")]), Theme::coloured().ascii());
        assert_eq!(theme(&[("LANG", "C.UTF-8"), ("TERM", "linux"), ("NO_COLOR", "")]), Theme::coloured().ascii());
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = Theme::coloured().without_colour();
        let styles = ALL.iter().flat_map(|&severity| [theme.severity(severity), theme.badge(severity)]);
        for style in styles.chain([theme.dim(), theme.title(), theme.key(), theme.series(1), theme.selection()]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn each_severity_has_its_own_glyph_and_word() {
        for theme in [Theme::coloured(), Theme::coloured().ascii()] {
            let said: std::collections::HashSet<_> = ALL.iter().map(|&one| (theme.glyph(one), one.word())).collect();
            assert_eq!(said.len(), ALL.len());
        }
    }

    #[test]
    fn ascii_glyphs_are_ascii() {
        let Glyphs {
            selected, order, rule, threshold, restart, gap, cut, severities, directions, bar, dot, none, ..
        } = ASCII;
        let single = [selected, rule, threshold, restart, gap, cut, dot, none];
        assert!(single.iter().chain(&order).chain(&severities).chain(&directions).chain(&bar).all(char::is_ascii));
    }
}
