"""The composition root: the one package that knows both `sagas` and `integrations`."""
