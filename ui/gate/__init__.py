"""The door in front of the whole app: nothing passes without a sign-in where one is configured."""
