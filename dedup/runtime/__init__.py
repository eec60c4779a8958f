"""What a long-running process needs: signs of life, limits on logs, process-wide switches, optional packages, an HTTP server."""
