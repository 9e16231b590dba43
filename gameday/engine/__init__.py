"""The run: phases, guard, guardian, recovery. Knows no fault, source or channel by name."""
