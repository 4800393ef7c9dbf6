"""From curves or motion to intervals."""
