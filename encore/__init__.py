"""What every part of Encore shares: settings, the event contract, names, the local stack."""
