//! What an application runs on: IAM, EC2, ECS, Kubernetes.
