"""The booking business: its bookings, its payments and the two sagas behind them."""
