-- What invitation_live does as well. By itself: the step before lets others read, and might wait for them in vain here.
DROP INDEX invitation_by_greeter;
