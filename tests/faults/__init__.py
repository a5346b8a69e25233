"""The fault harness: faults that are caused on purpose, and what must be true afterwards.

    world       both series' ingests as the services wire them, over a simulated upstream and any store
    invariants  what must be true at any moment, whatever went wrong
    victim      a process of its own that ends itself with SIGKILL at a named step of a tick
    proxy       a TCP proxy in front of InfluxDB or an upstream: refuses, hangs, cuts, delays
    __main__    the longer run: random faults on the real services, `python -m tests.faults --minutes 10 --seed N`

Nothing here is patched: each fault comes in through an argument, a file, a socket or a signal.
"""
