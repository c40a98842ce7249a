"""The demo project. It is the only package that imports both `sagas` and `integrations`."""
