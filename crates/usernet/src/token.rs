//! Whose descriptor is ready: the number that each is registered under names the part that owns it.

use mio::Token;

/// The parts that wait for descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Link,
    Tcp,
    Datagram,
    Question,
}

const OWNERS: usize = 4;

/// The number of the door (the link's is 0), which the loop looks after as well.
pub(crate) const DOOR: Token = Token(OWNERS);

/// Counts one owner's numbers; none comes twice, so a late event never reaches the wrong socket.
#[derive(Debug)]
pub(crate) struct Tokens(usize);

impl Tokens {
    pub(crate) fn of(owner: Owner) -> Self {
        Self(owner as usize)
    }

    pub(crate) fn next(&mut self) -> Token {
        self.0 += OWNERS;
        Token(self.0)
    }
}

/// Who is to be told.
pub(crate) fn owner(token: Token) -> Owner {
    match token.0 % OWNERS {
        0 => Owner::Link,
        1 => Owner::Tcp,
        2 => Owner::Datagram,
        _ => Owner::Question,
    }
}
