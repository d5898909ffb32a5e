//! Splits an arithmetic expression into tokens and evaluates it.

use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Number(f64),
    Operator(char),
    Open,
    Close,
}

#[derive(Debug, PartialEq)]
pub enum ParseError {
    UnexpectedEnd,
    UnexpectedChar(char, usize),
    DivisionByZero,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnexpectedEnd => write!(f, "unexpected end"),
            ParseError::UnexpectedChar(c, at) => write!(f, "unexpected '{}' at {}", c, at),
            ParseError::DivisionByZero => write!(f, "division by zero"),
        }
    }
}

pub fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        match c {
            ' ' => at += 1,
            '+' | '-' | '*' | '/' => {
                tokens.push(Token::Operator(c));
                at += 1;
            }
            '(' => {
                tokens.push(Token::Open);
                at += 1;
            }
            ')' => {
                tokens.push(Token::Close);
                at += 1;
            }
            '0'..='9' => {
                let start = at;
                while at < chars.len() && (chars[at].is_ascii_digit() || chars[at] == '.') {
                    at += 1;
                }
                let digits: String = chars[start..at].iter().collect();
                let number = digits.parse().map_err(|_| ParseError::UnexpectedChar(c, start))?;
                tokens.push(Token::Number(number));
            }
            _ => return Err(ParseError::UnexpectedChar(c, at)),
        }
    }
    Ok(tokens)
}

pub fn apply(operator: char, left: f64, right: f64) -> Result<f64, ParseError> {
    match operator {
        '+' => Ok(left + right),
        '-' => Ok(left - right),
        '*' => Ok(left * right),
        '/' if right == 0.0 => Err(ParseError::DivisionByZero),
        '/' => Ok(left / right),
        _ => Err(ParseError::UnexpectedChar(operator, 0)),
    }
}

fn precedence(operator: char) -> u8 {
    match operator {
        '*' | '/' => 2,
        _ => 1,
    }
}
