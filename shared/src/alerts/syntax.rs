//! The grammar of signals: tokens to a tree of names with places. Whether the names mean something is not known here.
//!
//! ```text
//! signal    = sum ;
//! sum       = product , { ("+" | "-") , product } ;
//! product   = atom , { ("*" | "/") , atom } ;
//! atom      = number | "(" , sum , ")" | call | signal-name ;
//! call      = function , "(" , selector , { "," , argument } , ")" ;
//! selector  = metric , [ "{" , [ matcher , { "," , matcher } ] , "}" ] ;
//! matcher   = attribute , ("=" | "!=" | "=~" | "!~") , "'" , text , "'" ;
//! argument  = selector | duration | number ;
//! ```

use std::ops::Range;
use std::time::Duration;

use super::lexer::{Placed, Token, tokens};
use super::quantity::Refusal;

/// How deep parentheses may nest.
const DEPTH_MAX: usize = 32;
/// How long the text of a signal may be.
const CHARS_MAX: usize = 4_096;

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) place: Range<usize>,
}

/// A signal as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Number(f64),
    /// A built-in signal or one of `[signals]`.
    Signal(Named),
    Call(CallTree),
    Binary {
        operator: Operator,
        left: Box<Tree>,
        right: Box<Tree>,
        place: Range<usize>,
    },
}

/// `function(selector, argument, …)`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CallTree {
    pub(super) function: Named,
    pub(super) arguments: Vec<Argument>,
    pub(super) place: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Argument {
    pub(super) value: ArgumentValue,
    pub(super) place: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ArgumentValue {
    Selector(SelectorTree),
    Duration(Duration),
    Number(f64),
}

/// `metric{attribute='text', …}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SelectorTree {
    pub(super) metric: Named,
    pub(super) matchers: Vec<MatcherTree>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct MatcherTree {
    pub(super) attribute: Named,
    pub(super) operator: &'static str,
    pub(super) text: Named,
}

/// An arithmetic operator between two signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`
    Over,
}

impl Operator {
    fn of(mark: char) -> Option<Self> {
        match mark {
            '+' => Some(Self::Plus),
            '-' => Some(Self::Minus),
            '*' => Some(Self::Times),
            '/' => Some(Self::Over),
            _ => None,
        }
    }
}

/// Reads a whole signal.
pub(super) fn parse(text: &str) -> Result<Tree, Refusal> {
    if text.len() > CHARS_MAX {
        let message = format!("the signal is longer than {CHARS_MAX} bytes");
        return Err(Refusal { place: 0..text.len(), message, help: "name parts of it in [signals]".to_owned() });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let tree = parser.sum()?;
    match parser.peek() {
        Token::End => Ok(tree),
        other => Err(parser.refuse(&format!("{} is left over", other.described()), "join signals with + - * /")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn current(&self) -> &Placed {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token {
        &self.current().token
    }

    fn advance(&mut self) -> Placed {
        let placed = self.current().clone();
        self.at += 1;
        placed
    }

    fn take(&mut self, mark: char) -> bool {
        let found = *self.peek() == Token::Mark(mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char) -> Result<usize, Refusal> {
        let end = self.current().place.end;
        if self.take(mark) {
            return Ok(end);
        }
        let found = self.peek().described();
        Err(self.refuse(&format!("expected `{mark}`, found {found}"), &format!("write `{mark}` here")))
    }

    fn refuse(&self, message: &str, help: &str) -> Refusal {
        Refusal { place: self.current().place.clone(), message: message.to_owned(), help: help.to_owned() }
    }

    fn sum(&mut self) -> Result<Tree, Refusal> {
        self.chain(&['+', '-'], Self::product)
    }

    fn product(&mut self) -> Result<Tree, Refusal> {
        self.chain(&['*', '/'], Self::atom)
    }

    fn chain(&mut self, marks: &[char], operand: impl Fn(&mut Self) -> Result<Tree, Refusal>) -> Result<Tree, Refusal> {
        let start = self.current().place.start;
        let mut left = operand(self)?;
        while let Token::Mark(mark) = *self.peek() {
            let Some(operator) = Operator::of(mark).filter(|_| marks.contains(&mark)) else { break };
            self.at += 1;
            self.deeper()?; // a chain is a tree as deep as it is long
            let right = operand(self)?;
            let place = start..self.tokens[self.at - 1].place.end;
            left = Tree::Binary { operator, left: Box::new(left), right: Box::new(right), place };
        }
        Ok(left)
    }

    fn deeper(&mut self) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refuse("the signal has too many parts", "name parts of it in [signals]"));
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<Tree, Refusal> {
        match self.peek().clone() {
            Token::Number(number) => {
                self.at += 1;
                Ok(Tree::Number(number))
            }
            Token::Mark('(') => {
                self.at += 1;
                self.deeper()?;
                let inner = self.sum()?;
                self.expect(')')?;
                Ok(inner)
            }
            Token::Name(name) => self.call_or_signal(name),
            Token::Duration(_) => {
                Err(self.refuse("a duration is no signal", "it is an argument: forecast(metric, 2h)"))
            }
            other => {
                let message = format!("expected a signal, found {}", other.described());
                Err(self.refuse(&message, "write a call like p95(http.server.request.duration), or a signal's name"))
            }
        }
    }

    fn call_or_signal(&mut self, name: String) -> Result<Tree, Refusal> {
        let place = self.advance().place;
        let named = Named { name, place: place.clone() };
        if *self.peek() == Token::Mark('{') {
            let help = format!("put it into a function: rate({}{{…}})", named.name);
            return Err(self.refuse("a selector stands inside a function", &help));
        }
        if !self.take('(') {
            return Ok(Tree::Signal(named));
        }
        let mut arguments = vec![self.argument()?];
        while self.take(',') {
            arguments.push(self.argument()?);
        }
        let end = self.expect(')')?;
        Ok(Tree::Call(CallTree { function: named, arguments, place: place.start..end }))
    }

    fn argument(&mut self) -> Result<Argument, Refusal> {
        let Placed { token, place } = self.current().clone();
        let value = match token {
            Token::Name(name) => {
                self.at += 1;
                let matchers = self.matchers()?;
                let metric = Named { name, place: place.clone() };
                ArgumentValue::Selector(SelectorTree { metric, matchers })
            }
            Token::Duration(span) => {
                self.at += 1;
                ArgumentValue::Duration(span)
            }
            Token::Number(number) => {
                self.at += 1;
                ArgumentValue::Number(number)
            }
            other => {
                let message = format!("expected a metric, found {}", other.described());
                return Err(self.refuse(&message, "write a metric's name, such as process.memory.usage"));
            }
        };
        let end = self.tokens[self.at - 1].place.end;
        Ok(Argument { value, place: place.start..end })
    }

    fn matchers(&mut self) -> Result<Vec<MatcherTree>, Refusal> {
        let mut matchers = Vec::new();
        if !self.take('{') {
            return Ok(matchers);
        }
        while !self.take('}') {
            matchers.push(self.matcher()?);
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<MatcherTree, Refusal> {
        let help = "write matchers like {http.route='/cart', error.type!=''}";
        let Placed { token: Token::Name(name), place } = self.current().clone() else {
            return Err(self.refuse(&format!("expected an attribute, found {}", self.peek().described()), help));
        };
        self.at += 1;
        let Token::Match(operator) = *self.peek() else {
            return Err(self.refuse(&format!("expected = != =~ or !~, found {}", self.peek().described()), help));
        };
        self.at += 1;
        let Placed { token: Token::Text(text), place: text_place } = self.current().clone() else {
            return Err(self.refuse(&format!("expected 'text', found {}", self.peek().described()), help));
        };
        self.at += 1;
        let attribute = Named { name, place };
        Ok(MatcherTree { attribute, operator, text: Named { name: text, place: text_place } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplication_binds_closer_than_addition() {
        let Tree::Binary { operator, right, .. } = parse("http.rate + cpu.utilization * 2").unwrap() else { panic!() };
        assert_eq!(operator, Operator::Plus);
        assert!(matches!(*right, Tree::Binary { operator: Operator::Times, .. }));
    }

    #[test]
    fn operators_of_one_strength_group_from_the_left() {
        let Tree::Binary { left, .. } = parse("8 / 4 / 2").unwrap() else { panic!() };
        assert!(matches!(*left, Tree::Binary { .. }));
    }

    #[test]
    fn arguments_know_their_places() {
        let Tree::Call(call) = parse("share_over(a.b{c='d',}, 500ms)").unwrap() else { panic!() };
        assert_eq!(call.arguments[0].place, 11..22);
        assert_eq!(call.arguments[1].place, 24..29);
    }

    #[test]
    fn refusals_point_at_the_token() {
        for (text, place) in [
            ("", 0..0),
            ("rate()", 5..6),
            ("rate(a", 6..6),
            ("a b", 2..3),
            ("rate(a{b})", 8..9),
            ("rate(a{b=c})", 9..10),
            ("5m", 0..2),
            ("a{b='c'}", 1..2),
            ("1 +", 3..3),
        ] {
            assert_eq!(parse(text).unwrap_err().place, place, "{text}");
        }
    }

    #[test]
    fn a_hostile_depth_is_refused_before_the_stack_is() {
        assert!(parse(&"(".repeat(4_000)).is_err());
        assert!(parse(&"1+".repeat(2_000)).is_err());
    }
}
