"""Would anyone notice, and could they act: alerts and runbooks."""
