"""Who asks, and what they may: people, programs, sessions, tokens, and the policy in force."""
