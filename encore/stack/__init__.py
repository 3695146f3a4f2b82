"""The local stack: real Kafka and PostgreSQL without Docker, or those the settings name.

:mod:`encore.stack.local` starts and stops it. Nothing is imported here: who only wants to know
where a service is would pay for all that starts them.
"""
