"""Where the booking page is."""

from django.urls import path

from sagaproject.bookings.page import views

app_name = "bookings"
urlpatterns = [
    path("book/", views.book, name="book"),
    path("bookings/<uuid:token>/", views.show, name="show"),
    path("bookings/<uuid:token>/progress/", views.progress, name="progress"),
    path("bookings/<uuid:token>/payment/", views.pay, name="pay"),
    path("bookings/<uuid:token>/cancel/", views.cancel, name="cancel"),
]
