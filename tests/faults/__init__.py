"""What is broken here is broken for real: processes killed and stopped, disks filled, limits set, directories taken away."""
