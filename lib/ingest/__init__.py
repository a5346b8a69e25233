"""One tick: fetch, gate, spool, store; its clock, its credits, and what it missed."""
