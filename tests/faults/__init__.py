"""Real faults: killed and stopped processes, full disks, limits, missing directories."""
