"""The booking business: what it sells, what it is paid, and the two sagas that keep both true."""
