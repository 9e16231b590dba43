"""What the faults in a cluster share: whom they hit, how they change an object and take it back, what they need."""
