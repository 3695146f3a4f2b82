"""The producer: a synthetic population whose behaviour can be learnt, and its way into Kafka.

Everything it emits is a pure function of its arguments (seed, sizes, time axis, rate, shares);
the wall clock only decides when a record is published.
"""
