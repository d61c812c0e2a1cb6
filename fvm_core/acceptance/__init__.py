"""What accepting suggestions without review is expected to do, before it is done."""
