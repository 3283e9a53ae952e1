# SPDX-License-Identifier: MIT
"""What Gaze raises. Nothing of it ever comes out of the model's own calls: only out of attach, of a request, and of what reads a bundle."""


class Error(RuntimeError):
    """Of which all others are: `except gaze.Error` catches what this package says."""


class LibraryError(Error, ImportError):
    """The native library is missing, or was built for another torch."""


class AttachError(Error):
    """A model that cannot be attached: it has no attention, its sites are not known, or another one is attached."""


class ProfileError(AttachError):
    """No profile fits the model, or none is known for it."""


class InputError(Error, ValueError):
    """A picture, a sound, ids or texts that cannot be understood."""


class RequestError(Error):
    """A request that was refused, or used in a way that would mix it with another."""


class BundleError(Error):
    """A bundle that is not there, or cannot be read."""
