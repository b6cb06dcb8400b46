//! The pickle machine: a stack, a memo, and the opcodes that make plain data.
//!
//! Opcodes as in CPython's `pickletools`, protocols 0 to 5. Those that import, call or build anything
//! are refused; there is no code here that could do it.
//!
//! Invariant: each byte of the frame makes at most one object; containers hold references, so
//! sharing costs nothing and nothing is ever copied out.

use super::object::{Object, decimal, long};
use super::{FRAME_BYTES_MAX, PickleError, PickleErrorKind, text};

/// Most open marks, that is, nesting while a frame is read. Datapoints need 3.
const NESTING_MAX: usize = 8;

/// Most objects on the stack, and most lists: over twice what a full frame of datapoints needs.
const OBJECTS_MAX: usize = 1 << 18;

/// The highest pickle protocol there is.
const PROTOCOL_MAX: u8 = 5;

/// Reads one frame.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    frame: &'a [u8],
    at: usize,
    stack: Vec<Object<'a>>,
    marks: Vec<usize>,
    memo: Vec<Option<Object<'a>>>,
    lists: Vec<Vec<Object<'a>>>,
    tuple_items: Vec<Object<'a>>,
    unescaped: Vec<u8>,
}

/// An opcode's failure; the frame's offset is added where it is known.
type Step<T> = Result<T, PickleErrorKind>;

impl<'a> Machine<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self {
            frame,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            lists: Vec::new(),
            tuple_items: Vec::new(),
            unescaped: Vec::new(),
        }
    }

    /// Runs to the STOP opcode; returns the list or tuple that the frame stands for.
    pub(super) fn run(&mut self) -> Result<Object<'a>, PickleError> {
        loop {
            let offset = self.at;
            let fail = |kind| PickleError { offset, kind };
            if self.frame.len() > FRAME_BYTES_MAX {
                return Err(fail(PickleErrorKind::TooLong));
            }
            let opcode = self.byte().map_err(fail)?;
            if opcode == b'.' {
                let top = self.pop().map_err(fail)?;
                return match self.items(top) {
                    Some(_) => Ok(top),
                    None => Err(fail(PickleErrorKind::NotAList)),
                };
            }
            self.step(opcode).map_err(fail)?;
        }
    }

    /// The items of a list or tuple; `None` of anything else.
    pub(super) fn items(&self, object: Object<'_>) -> Option<&[Object<'a>]> {
        match object {
            Object::List(list) => self.lists.get(list).map(Vec::as_slice),
            Object::Tuple { start, len } => self.tuple_items.get(start..start + len),
            Object::Text(_)
            | Object::Unescaped { .. }
            | Object::Int(_)
            | Object::Float(_)
            | Object::Opaque => None,
        }
    }

    /// The bytes of a string; `None` of anything else.
    pub(super) fn text<'m>(&'m self, object: Object<'m>) -> Option<&'m [u8]> {
        match object {
            Object::Text(text) => Some(text),
            Object::Unescaped { start, len } => self.unescaped.get(start..start + len),
            Object::Int(_)
            | Object::Float(_)
            | Object::List(_)
            | Object::Tuple { .. }
            | Object::Opaque => None,
        }
    }

    fn step(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            // PROTO, FRAME: the length that a FRAME gives is of no use to us.
            0x80 if self.byte()? > PROTOCOL_MAX => Err(PickleErrorKind::Protocol),
            0x80 => Ok(()),
            0x95 => self.take(8).map(drop),
            b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b | b'I' | b'L' | b'F' => self.number(opcode),
            b'S' | b'V' => self.escaped(opcode),
            b'T' | b'U' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.counted(opcode),
            b'N' | b'}' | 0x8f => self.push(Object::Opaque),
            0x88 => self.push(Object::Int(1)),
            0x89 => self.push(Object::Int(0)),
            b']' | b'l' | b'a' | b'e' => self.list(opcode),
            b')' | b't' | 0x85 | 0x86 | 0x87 => self.tuple(opcode),
            b'd' | b's' | b'u' | 0x90 | 0x91 => self.opaque(opcode),
            b'(' => self.mark(),
            b'0' | b'1' | b'2' => self.shuffle(opcode),
            b'p' | b'q' | b'r' | 0x94 => self.put(opcode),
            b'g' | b'h' | b'j' => self.get(opcode),
            // Import, call, build, extension registry, persistent ids, buffers out of band.
            b'c'
            | b'R'
            | b'b'
            | b'i'
            | b'o'
            | b'P'
            | b'Q'
            | 0x81..=0x84
            | 0x92
            | 0x93
            | 0x97
            | 0x98 => Err(PickleErrorKind::ForbiddenOpcode),
            _ => Err(PickleErrorKind::UnknownOpcode),
        }
    }

    fn number(&mut self, opcode: u8) -> Step<()> {
        let object = match opcode {
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Object::Int(self.byte()?.into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            b'G' => Object::Float(f64::from_be_bytes(self.array()?)),
            0x8a => {
                let len = self.byte()?;
                long(self.take(len.into())?)
            }
            0x8b => {
                let len = u32::from_le_bytes(self.array()?);
                long(self.take_u64(len.into())?)
            }
            _ => decimal(self.text_line()?, opcode)?,
        };
        self.push(object)
    }

    /// Strings and bytes with their length before them.
    fn counted(&mut self, opcode: u8) -> Step<()> {
        let len = match opcode {
            b'U' | b'C' | 0x8c => self.byte()?.into(),
            b'T' | b'X' | b'B' => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        let text = self.take_u64(len)?;
        self.push(Object::Text(text))
    }

    /// Strings of protocol 0, one a line.
    fn escaped(&mut self, opcode: u8) -> Step<()> {
        let line = self.text_line()?;
        let start = self.unescaped.len();
        let unescape = if opcode == b'S' { text::push_string } else { text::push_unicode };
        unescape(line, &mut self.unescaped).ok_or(PickleErrorKind::BadText)?;
        let len = self.unescaped.len() - start;
        self.push(Object::Unescaped { start, len })
    }

    fn list(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b']' => self.push_list(Vec::new()),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push_list(items)
            }
            b'a' => {
                let item = self.pop()?;
                self.top_list()?.push(item);
                Ok(())
            }
            _ => {
                let mut items = self.pop_to_mark()?;
                self.top_list()?.append(&mut items);
                Ok(())
            }
        }
    }

    fn push_list(&mut self, items: Vec<Object<'a>>) -> Step<()> {
        if self.lists.len() >= OBJECTS_MAX {
            return Err(PickleErrorKind::TooManyObjects);
        }
        self.lists.push(items);
        self.push(Object::List(self.lists.len() - 1))
    }

    fn top_list(&mut self) -> Step<&mut Vec<Object<'a>>> {
        match self.top()? {
            Object::List(list) => self.lists.get_mut(list).ok_or(PickleErrorKind::StackUnderflow),
            Object::Text(_)
            | Object::Unescaped { .. }
            | Object::Int(_)
            | Object::Float(_)
            | Object::Tuple { .. }
            | Object::Opaque => Err(PickleErrorKind::NotAList),
        }
    }

    fn tuple(&mut self, opcode: u8) -> Step<()> {
        let from = match opcode {
            b')' => self.stack.len(),
            b't' => self.pop_mark()?,
            _ => {
                let len = usize::from(opcode - 0x84);
                let floor = self.marks.last().copied().unwrap_or(0);
                let from = self.stack.len().checked_sub(len).filter(|from| *from >= floor);
                from.ok_or(PickleErrorKind::StackUnderflow)?
            }
        };
        let start = self.tuple_items.len();
        self.tuple_items.extend(self.stack.drain(from.min(self.stack.len())..));
        let len = self.tuple_items.len() - start;
        self.push(Object::Tuple { start, len })
    }

    /// Dictionaries and sets: taken off the stack, their content is of no use.
    fn opaque(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b's' => self.pop().and_then(|_| self.pop()).and_then(|_| self.top()).map(drop),
            b'u' | 0x90 => self.pop_to_mark().and_then(|_| self.top()).map(drop),
            _ => {
                self.pop_to_mark()?;
                self.push(Object::Opaque)
            }
        }
    }

    /// POP, POP_MARK, DUP.
    fn shuffle(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            b'0' if self.marks.last() == Some(&self.stack.len()) => self.pop_mark().map(drop),
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            _ => self.top().and_then(|top| self.push(top)),
        }
    }

    fn put(&mut self, opcode: u8) -> Step<()> {
        let index = match opcode {
            0x94 => self.memo.len(),
            _ => self.memo_index(opcode)?,
        };
        // Writers count up from 0 or 1, and a PUT is more than one byte: a higher index is an attack.
        if index > self.at {
            return Err(PickleErrorKind::BadMemo);
        }
        let top = self.top()?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(index) {
            *slot = Some(top);
        }
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Step<()> {
        let index = self.memo_index(opcode)?;
        let object = self.memo.get(index).copied().flatten().ok_or(PickleErrorKind::BadMemo)?;
        self.push(object)
    }

    fn memo_index(&mut self, opcode: u8) -> Step<usize> {
        match opcode {
            b'q' | b'h' => self.byte().map(usize::from),
            b'r' | b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                usize::try_from(index).map_err(|_| PickleErrorKind::BadMemo)
            }
            _ => {
                let line = self.text_line()?;
                let index = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
                index.ok_or(PickleErrorKind::BadMemo)
            }
        }
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() >= NESTING_MAX {
            return Err(PickleErrorKind::TooDeep);
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_mark(&mut self) -> Step<usize> {
        self.marks.pop().ok_or(PickleErrorKind::StackUnderflow)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Object<'a>>> {
        let mark = self.pop_mark()?;
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }

    fn push(&mut self, object: Object<'a>) -> Step<()> {
        if self.stack.len() >= OBJECTS_MAX {
            return Err(PickleErrorKind::TooManyObjects);
        }
        self.stack.push(object);
        Ok(())
    }

    /// The top of the stack, down to the last mark.
    fn top(&self) -> Step<Object<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.get(floor..).unwrap_or_default();
        above.last().copied().ok_or(PickleErrorKind::StackUnderflow)
    }

    fn pop(&mut self) -> Step<Object<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn byte(&mut self) -> Step<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let (array, _) = rest.split_first_chunk().ok_or(PickleErrorKind::Truncated)?;
        self.at += N;
        Ok(*array)
    }

    fn take_u64(&mut self, len: u64) -> Step<&'a [u8]> {
        self.take(usize::try_from(len).map_err(|_| PickleErrorKind::Truncated)?)
    }

    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let (taken, _) = rest.split_at_checked(len).ok_or(PickleErrorKind::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    /// The rest of a text line, without its LF.
    fn text_line(&mut self) -> Step<&'a [u8]> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).ok_or(PickleErrorKind::Truncated)?;
        let line = self.take(len)?;
        self.at += 1;
        Ok(line)
    }
}
