"""The emulators that come with galfit_sr, one folder each; installed as `galfit_sr_emulators`."""
