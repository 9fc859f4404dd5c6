"""ABX: whether features tell phones apart."""
