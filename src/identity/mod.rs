//! Who someone is: the proof on the application's side, its verification on the Authenticator's.
