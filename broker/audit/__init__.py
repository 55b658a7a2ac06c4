"""Owns the event log: what is written, how events are chained, read, verified and anchored in checkpoints.
Owns no decision and no effect: an event is written by the room that acts, in the transaction of the effect.
Every room above floor 2 may call it; it calls only the kernel."""
