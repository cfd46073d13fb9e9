// Tests of the module Identity; those of SPIFFE ids are with the model.
