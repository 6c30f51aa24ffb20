//! A table: rows that can be ordered by every column, filtered, and selected, in as many columns as fit. What the rows
//! are is not known here.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, Piece};
use super::theme::{Severity, Theme};
use crate::screen::TableChoice;
use crate::text;

/// What a column shows of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text, safe to print.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Cell {
    /// A cell that is as it should be.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), severity: Severity::Fine }
    }

    /// A cell that is this bad.
    pub fn judged(text: impl Into<String>, severity: Severity) -> Self {
        Self { text: text.into(), severity }
    }
}

/// A column of rows of type `R`: of numbers or of texts.
#[derive(Debug, Clone, Copy)]
pub struct Column<R> {
    title: &'static str,
    /// For a column of texts the least width.
    width: u16,
    /// Columns with a higher rank are left out first when the room is scarce.
    rank: u8,
    name: bool,
    cell: fn(&R) -> Cell,
    order: Option<Order<R>>,
}

/// What a column orders rows by.
#[derive(Debug, Clone, Copy)]
enum Order<R> {
    /// A number, largest first; an unknown one comes last.
    Number(fn(&R) -> Option<f64>),
    /// The text of the cell, in alphabetical order.
    Text,
}

impl<R> Order<R> {
    fn compare(&self, column: &Column<R>, (a, b): (&R, &R), reversed: bool) -> std::cmp::Ordering {
        let turn = |order: std::cmp::Ordering| if reversed { order.reverse() } else { order };
        match self {
            Self::Text => turn((column.cell)(a).text.cmp(&(column.cell)(b).text)),
            Self::Number(key) => match (key(a), key(b)) {
                (Some(a), Some(b)) => turn(b.total_cmp(&a)),
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        }
    }
}

impl<R> Column<R> {
    /// A column of numbers, right-aligned, that is left out in the order of `rank`.
    pub const fn number(
        title: &'static str,
        width: u16,
        rank: u8,
        cell: fn(&R) -> Cell,
        key: fn(&R) -> Option<f64>,
    ) -> Self {
        Self { title, width, rank, name: false, cell, order: Some(Order::Number(key)) }
    }

    /// A column like one of numbers, of what has no order: values in several units, words that say little.
    pub const fn unordered(title: &'static str, width: u16, rank: u8, cell: fn(&R) -> Cell) -> Self {
        Self { title, width, rank, name: false, cell, order: None }
    }

    /// A column of texts, left-aligned, that takes the room that is left and is left out in the order of `rank`.
    pub const fn name(title: &'static str, width: u16, rank: u8, cell: fn(&R) -> Cell) -> Self {
        Self { title, width, rank, name: true, cell, order: Some(Order::Text) }
    }
}

/// A kind of rows.
pub trait Row: Sized + 'static {
    /// Its columns, from left to right.
    const COLUMNS: &'static [Column<Self>];
    /// The column that orders the rows unless another is chosen.
    const ORDER: usize;

    /// What identifies a row among its kind for as long as it exists: nothing that changes while it is looked at.
    fn identity(&self) -> String;

    /// What the filter searches in.
    fn searched(&self) -> String {
        self.identity()
    }
}

/// The rows that the filter lets through, in the chosen order.
pub fn ordered<'r, R: Row>(rows: impl IntoIterator<Item = &'r R>, choice: &TableChoice) -> Vec<&'r R> {
    let wanted = choice.filter.to_lowercase();
    let mut shown: Vec<&R> =
        rows.into_iter().filter(|row| wanted.is_empty() || row.searched().to_lowercase().contains(&wanted)).collect();
    let column = R::COLUMNS.get(choice.sort.unwrap_or(R::ORDER));
    if let Some((column, order)) = column.and_then(|column| Some((column, column.order.as_ref()?))) {
        shown.sort_by(|a, b| order.compare(column, (*a, *b), choice.reversed));
    }
    shown
}

/// The column that orders the rows after the chosen one, around the end; columns without an order are passed over.
pub fn next_order<R: Row>(chosen: Option<usize>) -> usize {
    let (at, count) = (chosen.unwrap_or(R::ORDER), R::COLUMNS.len());
    let mut further = (1..=count).map(|step| (at + step) % count);
    further.find(|at| R::COLUMNS[*at].order.is_some()).unwrap_or(R::ORDER)
}

/// The identities of these rows, for moving the selection.
pub fn identities<'r, R: Row>(rows: impl IntoIterator<Item = &'r R>, choice: &TableChoice) -> Vec<String> {
    ordered(rows, choice).into_iter().map(Row::identity).collect()
}

/// The selected row: the chosen one while it is shown, else the first.
pub fn selected<'r, R: Row>(shown: &[&'r R], choice: &TableChoice) -> Option<&'r R> {
    shown.get(selected_index(shown, choice)).copied()
}

/// The row whose detail is shown: the chosen one, whether the filter lets it through or not; nothing when it is gone. The
/// first while none is chosen.
pub fn pinned<'r, R: Row>(rows: &'r [R], choice: &TableChoice) -> Option<&'r R> {
    match &choice.selected {
        Some(wanted) => rows.iter().find(|row| row.identity() == *wanted),
        None => ordered(rows, choice).first().copied(),
    }
}

/// What is said in place of the detail of a row that is gone.
pub fn gone(choice: &TableChoice) -> String {
    format!("{} is not there any more; esc goes back", choice.selected.as_deref().unwrap_or("the row"))
}

fn selected_index<R: Row>(shown: &[&R], choice: &TableChoice) -> usize {
    let wanted = choice.selected.as_deref();
    wanted.and_then(|wanted| shown.iter().position(|row| row.identity() == wanted)).unwrap_or_default()
}

/// Columns between two columns of a table.
const SPACE: u16 = 2;
/// The selection marker and the blank behind it.
const MARKER: u16 = 2;

/// Draws heading and rows into `area`; builds only the rows that are visible.
pub fn draw<R: Row>(pen: &mut Pen<'_>, area: Rect, shown: &[&R], choice: &TableChoice) {
    if area.height == 0 || area.width <= MARKER {
        return;
    }
    let columns = fitting::<R>(area.width - MARKER, |column| widest(column, shown));
    draw_heading::<R>(pen, area, &columns, choice);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let selected = selected_index(shown, choice);
    let rows = usize::from(body.height);
    let more = shown.len() > rows;
    let counted = more && rows > 1;
    let visible = if counted { rows - 1 } else { rows };
    let first = selected.saturating_sub(visible.saturating_sub(1));
    for (at, (y, row)) in (0..).zip(shown.iter().skip(first).take(visible)).enumerate() {
        draw_row(pen, Rect { y: body.y + y, height: 1, ..body }, (&columns, *row), first + at == selected);
    }
    if counted {
        let last = (first + visible).min(shown.len());
        let said = format!("{}–{last} of {}", first + 1, shown.len());
        pen.write_right(body, body.height - 1, &[Piece::new(said, pen.theme.dim())]);
    }
}

/// The headings of the columns that do not fit.
pub fn left_out<R: Row>(width: u16) -> Vec<&'static str> {
    let kept = fitting::<R>(width.saturating_sub(MARKER), |column| column.width);
    let missing = (0..R::COLUMNS.len()).filter(|at| !kept.iter().any(|(kept, ..)| kept == at));
    missing.map(|at| R::COLUMNS[at].title).collect()
}

/// Index, place and width of each column that fits.
fn fitting<R: Row>(width: u16, natural: impl Fn(&Column<R>) -> u16) -> Vec<(usize, u16, u16)> {
    let mut kept: Vec<usize> = (0..R::COLUMNS.len()).collect();
    let needed =
        |kept: &[usize]| kept.iter().map(|at| R::COLUMNS[*at].width + SPACE).sum::<u16>().saturating_sub(SPACE);
    while needed(&kept) > width && kept.len() > 1 {
        let Some(last) = kept.iter().copied().max_by_key(|at| (R::COLUMNS[*at].rank, *at)) else { break };
        kept.retain(|at| *at != last);
    }
    let mut spare = width.saturating_sub(needed(&kept));
    let mut x = 0;
    let place = |at: usize| {
        let column = &R::COLUMNS[at];
        let more = if column.name { natural(column).saturating_sub(column.width).min(spare) } else { 0 };
        spare -= more;
        let (left, width) = (x, column.width + more);
        x += width + SPACE;
        (at, left, width)
    };
    kept.into_iter().map(place).collect()
}

/// The widest text of a column; no wider than anybody reads in a row.
fn widest<R: Row>(column: &Column<R>, shown: &[&R]) -> u16 {
    const ROWS_MAX: usize = 200;
    const WIDTH_MAX: usize = 100;
    if !column.name {
        return column.width;
    }
    let widths = shown.iter().take(ROWS_MAX).map(|row| (column.cell)(row).text.width());
    u16::try_from(widths.max().unwrap_or(0).min(WIDTH_MAX)).unwrap_or(column.width)
}

fn draw_heading<R: Row>(pen: &mut Pen<'_>, area: Rect, columns: &[(usize, u16, u16)], choice: &TableChoice) {
    let orders = choice.sort.unwrap_or(R::ORDER);
    for &(at, x, width) in columns {
        let column = &R::COLUMNS[at];
        let place = column_place(area, x, width);
        let style = if at == orders { pen.theme.title() } else { pen.theme.dim() };
        let title = Piece::new(column.title, style);
        let arrow = Piece::new(String::from(pen.theme.glyphs.order[usize::from(choice.reversed)]), style);
        if column.name {
            let arrow = if at == orders { vec![title, arrow] } else { vec![title] };
            pen.write(place, 0, &arrow);
        } else {
            // The arrow stands in the space between the columns, so that headings stay above their numbers.
            let pieces = if at == orders { vec![arrow, title] } else { vec![title] };
            let wider = Rect { x: place.x - 1, width: place.width + 1, ..place };
            pen.write_right(wider, 0, &pieces);
        }
    }
}

fn draw_row<R: Row>(pen: &mut Pen<'_>, area: Rect, (columns, row): (&[(usize, u16, u16)], &R), selected: bool) {
    if selected {
        pen.write(area, 0, &[Piece::new(String::from(pen.theme.glyphs.selected), pen.theme.title())]);
    }
    for &(at, x, width) in columns {
        let column = &R::COLUMNS[at];
        let place = column_place(area, x, width);
        let cell = (column.cell)(row);
        let style = style(pen.theme, cell.severity, selected);
        if column.name {
            pen.write(place, 0, &[Piece::new(cell.text, style)]);
        } else {
            let mark =
                if cell.severity > Severity::Info { pen.theme.glyph(cell.severity).to_string() } else { String::new() };
            // The mark stands in the space between the columns, so that numbers stay aligned.
            let wider = Rect { x: place.x - 1, width: place.width + 1, ..place };
            let number = text::cut(&cell.text, usize::from(width)).into_owned();
            pen.write_right(wider, 0, &[Piece::new(format!("{mark}{number}"), style)]);
        }
    }
}

fn style(theme: Theme, severity: Severity, selected: bool) -> ratatui::style::Style {
    let style = match severity {
        Severity::Fine => theme.text(),
        severity => theme.severity(severity),
    };
    if selected { style.patch(theme.strong()) } else { style }
}

fn column_place(area: Rect, x: u16, width: u16) -> Rect {
    let left = (area.x + MARKER + x).min(area.right());
    Rect { x: left, width: width.min(area.right() - left), height: 1, ..area }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;

    use super::super::quantity::{count, known};
    use super::*;

    struct Fruit(&'static str, Option<f64>);

    impl Row for Fruit {
        const COLUMNS: &'static [Column<Self>] = &[
            Column::name("fruit", 6, 0, |fruit| Cell::new(fruit.0)),
            Column::number("kilos", 5, 1, |fruit| Cell::new(known(fruit.1, count)), |fruit| fruit.1),
            Column::unordered("unit", 4, 2, |_| Cell::new("kg")),
        ];
        const ORDER: usize = 1;

        fn identity(&self) -> String {
            self.0.to_owned()
        }
    }

    const FRUITS: [Fruit; 4] =
        [Fruit("apple", Some(3.0)), Fruit("plum", None), Fruit("pear", Some(7.0)), Fruit("fig", Some(1.0))];

    fn drawn(size: (u16, u16), choice: &TableChoice) -> String {
        let area = Rect::new(0, 0, size.0, size.1);
        let mut buffer = Buffer::empty(area);
        draw(&mut Pen { buffer: &mut buffer, theme: Theme::coloured() }, area, &ordered(&FRUITS, choice), choice);
        let row = |y| (0..size.0).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..size.1).map(|y| row(y).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn numbers_are_ordered_largest_first_and_unknown_ones_last_either_way() {
        let names = |choice: &TableChoice| identities(&FRUITS, choice);
        let choice = TableChoice::default();
        assert_eq!(names(&choice), ["pear", "apple", "fig", "plum"]);
        assert_eq!(names(&TableChoice { reversed: true, ..choice }), ["fig", "apple", "pear", "plum"]);
    }

    #[test]
    fn a_column_without_an_order_is_passed_over() {
        assert_eq!((next_order::<Fruit>(Some(0)), next_order::<Fruit>(None)), (1, 0));
    }

    #[test]
    fn the_filter_ignores_case() {
        let choice = TableChoice { filter: "P".to_owned(), sort: Some(0), ..TableChoice::default() };
        assert_eq!(identities(&FRUITS, &choice), ["apple", "pear", "plum"]);
    }

    #[test]
    fn the_detail_is_of_the_chosen_row_or_of_none() {
        let choose = |name: &str| TableChoice {
            selected: Some(name.to_owned()),
            filter: "apple".to_owned(),
            ..TableChoice::default()
        };
        assert_eq!(pinned(&FRUITS, &choose("fig")).map(|fruit| fruit.0), Some("fig"));
        assert!(pinned(&FRUITS, &choose("kiwi")).is_none());
        assert_eq!(gone(&choose("kiwi")), "kiwi is not there any more; esc goes back");
        assert_eq!(pinned(&FRUITS, &TableChoice::default()).map(|fruit| fruit.0), Some("pear"));
    }

    #[test]
    fn headings_numbers_and_the_selected_row_line_up() {
        let choice = TableChoice { selected: Some("fig".to_owned()), ..TableChoice::default() };
        assert_eq!(
            drawn((16, 5), &choice),
            "  fruit  ▾kilos\n  pear        7\n  apple       3\n▸ fig         1\n  plum        –"
        );
    }

    #[test]
    fn the_selected_row_stays_in_view_and_the_rest_is_counted() {
        let choice = TableChoice { selected: Some("fig".to_owned()), ..TableChoice::default() };
        assert_eq!(drawn((16, 4), &choice), "  fruit  ▾kilos\n  apple       3\n▸ fig         1\n        2–3 of 4");
    }

    #[test]
    fn a_narrow_table_leaves_out_the_least_important_column() {
        assert_eq!(drawn((10, 2), &TableChoice::default()), "  fruit\n▸ pear");
        assert_eq!(left_out::<Fruit>(10), ["kilos", "unit"]);
    }
}
